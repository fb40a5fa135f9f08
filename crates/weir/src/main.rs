//! The `weir` binary.

/// glibc gives the large blocks that scans of the log read back to the system each time; this one keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    weir::main()
}
