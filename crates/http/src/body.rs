//! Request bodies: bounded on the wire, bounded when inflated, bounded in time.
//!
//! Invariant: no request makes the process hold more than the wire limit plus the inflated limit, whatever its headers
//! say. Refused: tower-http's decompression layers, whose errors (corrupt, too large, cut off) reach the handler as one.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use weir_event::limits;

use crate::problem::Problem;

/// What a body may take.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes as they come over the wire.
    pub wire: usize,
    /// Bytes after decompression.
    pub inflated: usize,
    /// How long the upload may last in all.
    pub deadline: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { wire: limits::REQUEST_BYTES, inflated: limits::REQUEST_BYTES, deadline: Duration::from_secs(30) }
    }
}

/// Reads a body whole and undoes its content coding.
///
/// # Errors
/// 413 beyond a limit, 415 for an unknown coding, 400 `gzip_invalid` for gzip that is corrupt or cut off, 400
/// `body_incomplete` if the sender went away, 408 when it takes too long.
pub async fn read_body(headers: &HeaderMap, body: Body, limits: &BodyLimits) -> Result<Bytes, Problem> {
    let coding = coding(headers)?;
    if announced(headers).is_some_and(|length| length > limits.wire) {
        return Err(Problem::request_too_large(limits.wire));
    }
    let wire = tokio::time::timeout(limits.deadline, collect(body, limits.wire));
    let wire = wire.await.map_err(|_| Problem::upload_timeout())??;
    match coding {
        Coding::Identity if wire.len() > limits.inflated => Err(Problem::request_too_large(limits.inflated)),
        Coding::Identity => Ok(wire),
        Coding::Gzip => inflate(&wire, limits.inflated),
    }
}

/// The body as text.
///
/// # Errors
/// 400 `json_invalid`: JSON is UTF-8.
pub fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body)
        .map_err(|error| Problem::json_invalid(format!("not UTF-8 at byte {}; JSON is UTF-8", error.valid_up_to())))
}

enum Coding {
    Identity,
    Gzip,
}

fn coding(headers: &HeaderMap) -> Result<Coding, Problem> {
    let mut coding = Coding::Identity;
    for value in headers.get_all(CONTENT_ENCODING) {
        let text = value.to_str().map_err(|_| Problem::unsupported_coding())?;
        for name in text.split(',').map(str::trim) {
            coding = match (name.to_ascii_lowercase().as_str(), coding) {
                ("identity" | "", coding) => coding,
                ("gzip" | "x-gzip", Coding::Identity) => Coding::Gzip,
                // Gzip twice is a bomb inside a bomb; nobody needs it.
                _ => return Err(Problem::unsupported_coding()),
            };
        }
    }
    Ok(coding)
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let incomplete = |_| Problem::malformed("body_incomplete", "the body ended before it was complete");
        let Ok(data) = frame.map_err(incomplete)?.into_data() else { continue };
        if first.len().max(whole.len()) + data.len() > limit {
            return Err(Problem::request_too_large(limit));
        }
        // Most bodies come in one piece, which then needn't be copied.
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Inflates all members, never beyond `limit`: what a bomb would still hold is not looked at.
fn inflate(wire: &[u8], limit: usize) -> Result<Bytes, Problem> {
    let mut inflated = Vec::with_capacity(wire.len().saturating_mul(4).min(limit) + 1);
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let outcome = MultiGzDecoder::new(wire).take(bound).read_to_end(&mut inflated);
    if inflated.len() > limit {
        return Err(Problem::request_too_large(limit));
    }
    match outcome {
        Ok(_) => Ok(inflated.into()),
        Err(_) => {
            Err(Problem::malformed("gzip_invalid", "the body isn't whole and valid gzip; compress and send it anew"))
        }
    }
}

/// The media types of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`.
    Json,
    /// `application/x-ndjson`.
    Ndjson,
}

impl MediaType {
    const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// Which of `accepted` the body is. Without `Content-Type` it is the first of them.
///
/// # Errors
/// 415 for any other media type, and for a `charset` other than UTF-8.
pub fn media_type(headers: &HeaderMap, accepted: &[MediaType]) -> Result<MediaType, Problem> {
    let refused = || {
        let names: Vec<_> = accepted.iter().map(|media| media.name()).collect();
        Problem::unsupported_media_type(&names.join("` or `"))
    };
    let Some(value) = headers.get(CONTENT_TYPE) else { return accepted.first().copied().ok_or_else(refused) };
    let mut parts = value.to_str().map_err(|_| refused())?.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let foreign = |part: &str| {
        part.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset")
                && !["utf-8", "utf8"].iter().any(|utf8| value.trim().trim_matches('"').eq_ignore_ascii_case(utf8))
        })
    };
    let found = accepted.iter().copied().find(|media| media.name().eq_ignore_ascii_case(name));
    found.filter(|_| !parts.any(foreign)).ok_or_else(refused)
}
