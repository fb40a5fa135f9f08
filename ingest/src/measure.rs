//! What the service counts. No label comes from what was sent.

use metrics::{counter, histogram};
use weir_event_log::AppendError;
use weir_http::Problem;

/// Bytes of a request's body, after decompression.
pub(crate) fn request(bytes: usize) {
    histogram!("weir_ingest_request_bytes").record(bytes as f64);
}

/// Events that were acknowledged.
pub(crate) fn accepted(events: usize) {
    counter!("weir_ingest_events_accepted_total").increment(events as u64);
}

/// An event that was refused.
pub(crate) fn rejected(problem: &Problem) {
    counter!("weir_ingest_events_rejected_total", "code" => problem.code()).increment(1);
}

/// An append that was not acknowledged.
pub(crate) fn failed(error: &AppendError) {
    let outcome = if error.is_determinate() { "not_stored" } else { "unknown" };
    counter!("weir_ingest_appends_failed_total", "outcome" => outcome).increment(1);
}
