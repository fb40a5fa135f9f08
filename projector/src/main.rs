//! The `projector` binary.

fn main() -> std::process::ExitCode {
    weir_projector::main(&weir_lifecycle::Source::process(1))
}
