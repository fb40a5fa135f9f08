//! `weir`, `ingest`, `projector` and `query-api`, with faults to order and an end that its test can't forget.
//!
//! Which of them is said by the name it is called by (`argv[0]`), so that all arguments are the program's own; any other
//! name is `weir`. The variable `SABOTAGE` orders a fault; without it this is the program as it is. Its name doesn't
//! begin with `WEIR_`, since the programs refuse variables that they don't know.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use weir_lifecycle::Source;

/// What may be ordered.
const FAULTS: [(&str, &AtomicBool); 7] = [
    ("lose", &weir_projector::sabotage::LOSE),
    ("twice", &weir_projector::sabotage::TWICE),
    ("edge", &weir_segment::sabotage::WINDOW_EDGE),
    ("early", &weir_projector::sabotage::EARLY),
    ("stale", &weir_projector::sabotage::STALE),
    ("unfenced", &weir_store::sabotage::UNFENCED),
    ("blind", &weir_projector::sabotage::BLIND),
];

fn main() -> ExitCode {
    if let Ok(ordered) = std::env::var("SABOTAGE") {
        let Some((_, fault)) = FAULTS.iter().find(|(name, _)| *name == ordered) else {
            eprintln!("SABOTAGE is {ordered}, which is none of {:?}", FAULTS.map(|(name, _)| name));
            return ExitCode::from(64);
        };
        fault.store(true, SeqCst);
    }
    std::thread::spawn(end_with_the_test);
    let called = std::env::args_os().next().unwrap_or_default();
    match Path::new(&called).file_name().and_then(|name| name.to_str()) {
        Some("ingest") => weir_ingest::main(&Source::process(1)),
        Some("projector") => weir_projector::main(&Source::process(1)),
        Some("query-api") => weir_query_api::main(&Source::process(1)),
        _ => weir::main(),
    }
}

/// The test holds the other end of standard input. When it is gone, however that came, so is this process.
fn end_with_the_test() {
    let mut nothing = Vec::new();
    // A failure to read means the same as the end.
    let _ = std::io::stdin().read_to_end(&mut nothing);
    std::process::exit(9);
}
