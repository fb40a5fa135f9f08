//! The `query-api` binary.

/// As in `weir`: glibc gives large blocks back to the system each time; this one keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    weir_query_api::main(&weir_lifecycle::Source::process(1))
}
