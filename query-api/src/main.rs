//! The `query-api` binary.

fn main() -> std::process::ExitCode {
    weir_query_api::main(&weir_lifecycle::Source::process(1))
}
