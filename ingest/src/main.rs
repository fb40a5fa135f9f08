//! The `ingest` binary.

fn main() -> std::process::ExitCode {
    weir_ingest::main(&weir_lifecycle::Source::process(1))
}
