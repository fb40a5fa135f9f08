//! Whole lists as files: CSV for spreadsheets, and an object a line.
//!
//! A list is read page by page while it is sent, from one view, so it is of one instant and takes the memory of a few
//! pages however long it is. Who stops reading loses the view: an open one keeps the tables from being tidied up. And there
//! are few views: so exports have turns, and slow readers of files never take all views from those who ask for a page, or
//! from the fold.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use serde::Serialize;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use weir_http::{ListForm, Problem};

use crate::failure;

/// Rows that are read at once.
pub(crate) const PAGE: usize = 1_000;
/// Pages that may wait for the reader.
const AHEAD: usize = 2;
/// How long a reader may take nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// What goes to the body: a part, or that there is no more. A body whose sender is gone without a word is broken off: the
/// end of a list must not look like a list that was given up.
type Part = Result<Option<Bytes>, Problem>;

/// Exports under way at a time in a process; a store has eight views.
const AT_ONCE: usize = 3;

/// The turns of exports. Clones are the same turns.
#[derive(Clone)]
pub(crate) struct Exports(Arc<Semaphore>);

impl Default for Exports {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// The sending end of a list under way.
pub(crate) struct Export {
    parts: mpsc::Sender<Part>,
    _turn: OwnedSemaphorePermit,
}

/// A list was given up half-way.
#[derive(Debug, thiserror::Error)]
#[error("the export was given up")]
struct GivenUp;

/// The reader has gone, or takes nothing.
pub(crate) struct Gone;

impl Exports {
    /// Begins an answer whose body is what is sent.
    ///
    /// # Errors
    /// 503 `exports_busy`.
    pub(crate) fn begin(&self, form: ListForm, name: &str) -> Result<(Export, Response), Problem> {
        let turn = self.0.clone().try_acquire_owned().map_err(|_| failure::exports_busy())?;
        let (parts, receiver) = mpsc::channel(AHEAD);
        let body = stream::try_unfold(receiver, |mut receiver: mpsc::Receiver<Part>| async {
            match receiver.recv().await {
                Some(Ok(part)) => Ok(part.map(|part| (part, receiver))),
                Some(Err(problem)) => Err(problem),
                None => Err(Problem::internal(&GivenUp)),
            }
        });
        Ok((Export { parts, _turn: turn }, response(form, name, Body::from_stream(body))))
    }
}

impl Export {
    /// Sends a part of the body.
    pub(crate) async fn send(&self, part: Vec<u8>) -> Result<(), Gone> {
        self.parts.send_timeout(Ok(Some(part.into())), PATIENCE).await.map_err(|error| {
            if matches!(error, SendTimeoutError::Timeout(_)) {
                tracing::warn!("an export was given up: its reader took nothing for {} s", PATIENCE.as_secs());
            }
            Gone
        })
    }

    /// Ends the body: all of the list has been sent.
    pub(crate) async fn finish(&self) {
        // Who has gone needn't know.
        self.parts.send_timeout(Ok(None), PATIENCE).await.ok();
    }

    /// Breaks the answer off, so that nobody takes half of a list for the whole.
    pub(crate) async fn fail(&self, problem: Problem) {
        tracing::warn!(code = problem.code(), detail = problem.detail(), "an export was broken off");
        // Who has gone needn't know.
        self.parts.send_timeout(Err(problem), PATIENCE).await.ok();
    }
}

/// A whole list that is in memory.
pub(crate) fn whole(form: ListForm, name: &str, body: Vec<u8>) -> Response {
    response(form, name, Body::from(body))
}

fn response(form: ListForm, name: &str, body: Body) -> Response {
    let (media, ending) = match form {
        ListForm::Csv => ("text/csv; charset=utf-8", "csv"),
        ListForm::Ndjson => ("application/x-ndjson", "ndjson"),
        ListForm::Json => ("application/json", "json"),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    if let Ok(file) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{ending}\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, file);
    }
    response
}

/// Rows as lines of JSON.
pub(crate) fn lines<R: Serialize>(rows: &[R]) -> Result<Vec<u8>, Problem> {
    let mut out = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut out, row).map_err(|error| Problem::internal(&error))?;
        out.push(b'\n');
    }
    Ok(out)
}

/// Rows of cells as CSV (RFC 4180).
pub(crate) fn csv(rows: impl IntoIterator<Item = Vec<Cell>>) -> Result<Vec<u8>, Problem> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        let cells = row.into_iter().map(|cell| cell.0);
        writer.write_record(cells).map_err(|error| Problem::internal(&error))?;
    }
    writer.into_inner().map_err(|error| Problem::internal(error.error()))
}

/// A cell of a CSV file.
pub(crate) struct Cell(String);

impl Cell {
    /// A number, an instant, a name of ours.
    pub(crate) fn plain(value: impl ToString) -> Self {
        Self(value.to_string())
    }

    /// The same, or nothing.
    pub(crate) fn maybe(value: Option<impl ToString>) -> Self {
        Self(value.map(|value| value.to_string()).unwrap_or_default())
    }

    /// Text that somebody sent. A spreadsheet would run it as a formula if it began like one: an apostrophe in front keeps
    /// it text (OWASP, "CSV Injection").
    pub(crate) fn text(value: Option<&str>) -> Self {
        let text = value.unwrap_or_default();
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            Self(format!("'{text}"))
        } else {
            Self(text.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a body; whether it ended as it should.
    async fn is_whole(response: Response) -> bool {
        http_body_util::BodyExt::collect(response.into_body()).await.is_ok()
    }

    #[tokio::test]
    async fn a_list_that_was_given_up_does_not_look_like_its_end() {
        let exports = Exports::default();
        let (export, response) = exports.begin(ListForm::Csv, "list").unwrap();
        assert!(export.send(b"a".to_vec()).await.is_ok());
        drop(export);
        assert!(!is_whole(response).await, "nobody said that this was all");
        let (export, response) = exports.begin(ListForm::Csv, "list").unwrap();
        assert!(export.send(b"a".to_vec()).await.is_ok());
        export.finish().await;
        assert!(is_whole(response).await);
    }

    #[test]
    fn a_few_go_at_a_time() {
        let exports = Exports::default();
        let mut begun: Vec<_> = (0..AT_ONCE).map(|_| exports.begin(ListForm::Csv, "list").unwrap()).collect();
        let refused = exports.begin(ListForm::Csv, "list").map(drop).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (503, "exports_busy"));
        begun.pop();
        assert!(exports.begin(ListForm::Csv, "list").is_ok());
    }

    #[test]
    fn cells_are_quoted_and_formulas_are_text() {
        let row =
            vec![Cell::plain(-1), Cell::maybe(None::<i64>), Cell::text(Some("a \"b\", c")), Cell::text(Some("=1+1"))];
        let file = csv([vec![Cell::plain("n"), Cell::plain("m"), Cell::plain("t"), Cell::plain("f")], row]).unwrap();
        assert_eq!(String::from_utf8(file).unwrap(), "n,m,t,f\r\n-1,,\"a \"\"b\"\", c\",'=1+1\r\n");
    }
}
