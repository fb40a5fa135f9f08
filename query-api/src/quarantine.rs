//! Records that no projection could take in, for the operator.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use weir_event::{Envelope, Stream};
use weir_http::{Problem, Query};
use weir_store::{Quarantined, View};

use crate::access::Access;
use crate::answer::{Asked, InPath, json};
use crate::cursor::QuarantinePlace;
use crate::failure;
use crate::people::no_parameters;
use crate::service::Api;
use crate::wait::Need;

/// Bytes of records after which a page ends early: they may have any size.
const PAGE_BYTES: usize = 4_000_000;
/// Records read at a time.
const READ: usize = 20;

#[derive(Serialize)]
struct Records {
    records: Vec<Row>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Row {
    stream: &'static str,
    partition: u32,
    offset: u64,
    reason: String,
    /// The slug that the record names, if it can be read so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<String>,
    #[serde(flatten)]
    record: Body,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    /// As it lies on the log.
    Record(String),
    /// The same in base64, where it is no UTF-8.
    RecordBase64(String),
}

impl From<Quarantined> for Row {
    fn from(aside: Quarantined) -> Self {
        let workspace = match aside.stream {
            Stream::Events => Envelope::parse(&aside.record).ok().map(|envelope| envelope.workspace.into_owned()),
            Stream::Control => None,
        };
        let record = match String::from_utf8(aside.record) {
            Ok(text) => Body::Record(text),
            Err(error) => Body::RecordBase64(STANDARD.encode(error.as_bytes())),
        };
        let (stream, partition, offset) = (aside.stream.name(), aside.partition, aside.offset);
        Self { stream, partition, offset, reason: aside.reason, workspace, record }
    }
}

/// `GET /api/quarantine`: by stream, partition and offset.
pub(crate) async fn list(Shared(api): Shared<Arc<Api>>, asked: Asked) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Operator, Need::MEMBERSHIP).await?;
    let query = Query::parse(&asked.uri, &["limit", "cursor"])?;
    let limit = query.limit()?;
    let from = query.cursor().map(QuarantinePlace::open).transpose()?;
    let (records, next) = page(reading.view.as_mut(), from, limit).await?;
    json(&Records { records, next_cursor: next.map(QuarantinePlace::seal) })
}

/// At most `limit` records, and where the next one may be found if there may be any.
async fn page(
    view: &mut dyn View,
    mut from: Option<QuarantinePlace>,
    limit: usize,
) -> Result<(Vec<Row>, Option<QuarantinePlace>), Problem> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    loop {
        let start = from.map(|QuarantinePlace(stream, partition, offset)| (stream, partition, offset));
        let read = view.quarantine(start, READ).await.map_err(failure::store)?;
        let last = read.len() < READ;
        for aside in read {
            if rows.len() == limit || bytes > PAGE_BYTES {
                return Ok((rows, Some(QuarantinePlace(aside.stream, aside.partition, aside.offset))));
            }
            bytes += aside.record.len();
            from = Some(QuarantinePlace(aside.stream, aside.partition, aside.offset + 1));
            rows.push(aside.into());
        }
        if last {
            return Ok((rows, None));
        }
    }
}

/// `GET /api/quarantine/{stream}/{partition}/{offset}`.
pub(crate) async fn show(
    Shared(api): Shared<Arc<Api>>,
    InPath((stream, partition, offset)): InPath<(String, String, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Operator, Need::MEMBERSHIP).await?;
    no_parameters(&asked.uri)?;
    let missing = || Problem::not_found("record_not_found", "no record of this place was set aside");
    let (Some(stream), Ok(partition), Ok(offset)) = (Stream::parse(&stream), partition.parse(), offset.parse()) else {
        return Err(missing());
    };
    let found = reading.view.quarantine(Some((stream, partition, offset)), 1).await.map_err(failure::store)?;
    let there = |aside: &Quarantined| (aside.stream, aside.partition, aside.offset) == (stream, partition, offset);
    let found = found.into_iter().find(there).ok_or_else(missing)?;
    json(&Row::from(found))
}
