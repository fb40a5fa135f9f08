//! `weir`, with faults to order and an end that its test can't forget.
//!
//! The variable `SABOTAGE` is one of `lose`, `twice` and `edge`; without it this is the program as it is. Its name
//! doesn't begin with `WEIR_`, since `weir` refuses variables that it doesn't know.

use std::io::Read as _;
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;

fn main() -> ExitCode {
    match std::env::var("SABOTAGE").as_deref() {
        Ok("lose") => weir_projector::sabotage::LOSE.store(true, SeqCst),
        Ok("twice") => weir_projector::sabotage::TWICE.store(true, SeqCst),
        Ok("edge") => weir_segment::sabotage::WINDOW_EDGE.store(true, SeqCst),
        Ok(other) => {
            eprintln!("SABOTAGE is {other}, which is none of lose, twice, edge");
            return ExitCode::from(64);
        }
        Err(_) => {}
    }
    std::thread::spawn(end_with_the_test);
    weir::main()
}

/// The test holds the other end of standard input. When it is gone, however that came, so is this process.
fn end_with_the_test() {
    let mut nothing = Vec::new();
    // A failure to read means the same as the end.
    let _ = std::io::stdin().read_to_end(&mut nothing);
    std::process::exit(9);
}
