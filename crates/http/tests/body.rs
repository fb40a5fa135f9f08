//! Reading bodies: limits, codings, media types.

#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Frame;
use proptest::prelude::*;
use weir_http::{BodyLimits, MediaType, Problem, media_type, read_body, utf8};

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
}

fn limits(wire: usize, inflated: usize) -> BodyLimits {
    BodyLimits { wire, inflated, ..BodyLimits::default() }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

async fn read(coding: Option<&str>, body: impl Into<Bytes>, limits: &BodyLimits) -> Result<Bytes, Problem> {
    let coding: Vec<_> = coding.map(|coding| (CONTENT_ENCODING, coding)).into_iter().collect();
    read_body(&headers(&coding), Body::from(body.into()), limits).await
}

fn code(result: Result<Bytes, Problem>) -> (u16, &'static str) {
    let problem = result.unwrap_err();
    (problem.status().as_u16(), problem.code())
}

/// A body that comes in pieces, and then ends, breaks off or falls silent.
struct Pieces {
    chunks: std::vec::IntoIter<Bytes>,
    end: Poll<Option<Result<(), ()>>>,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.chunks.next() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None => match &self.end {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(_)) => Poll::Ready(Some(Err(std::io::Error::other("gone")))),
            },
        }
    }
}

fn pieces(chunks: Vec<Bytes>) -> Body {
    Body::new(Pieces { chunks: chunks.into_iter(), end: Poll::Ready(None) })
}

fn silent() -> Body {
    Body::new(Pieces { chunks: vec![Bytes::from_static(b"{")].into_iter(), end: Poll::Pending })
}

#[tokio::test]
async fn the_limit_is_exact_on_the_wire_and_inflated() {
    let limits = limits(100, 1_000);
    assert_eq!(read(None, vec![b'x'; 100], &limits).await.unwrap().len(), 100);
    assert_eq!(code(read(None, vec![b'x'; 101], &limits).await), (413, "request_too_large"));
    assert_eq!(read(Some("gzip"), gzip(&[b'x'; 1_000]), &limits).await.unwrap().len(), 1_000);
    assert_eq!(code(read(Some("gzip"), gzip(&[b'x'; 1_001]), &limits).await), (413, "request_too_large"));
    let noise: Vec<u8> = (0..200_u8).map(|i| i.wrapping_mul(167)).collect();
    assert_eq!(code(read(Some("gzip"), gzip(&noise), &limits).await), (413, "request_too_large"));
}

#[tokio::test]
async fn an_announced_length_is_believed_when_it_is_too_much() {
    let headers = headers(&[(CONTENT_LENGTH, "5000001")]);
    // The body never comes: the answer must not wait for it.
    let body = silent();
    assert_eq!(code(read_body(&headers, body, &BodyLimits::default()).await), (413, "request_too_large"));
}

#[tokio::test]
async fn a_bomb_stops_at_the_limit() {
    let bomb = gzip(&vec![0; 100_000_000]);
    assert!(bomb.len() < 200_000);
    assert_eq!(code(read(Some("gzip"), bomb, &BodyLimits::default()).await), (413, "request_too_large"));
}

#[tokio::test]
async fn gzip_that_is_cut_off_or_corrupt_is_malformed() {
    let limits = BodyLimits::default();
    let whole = gzip(br#"{"name":"cart.added"}"#);
    for end in 0..whole.len() {
        assert_eq!(code(read(Some("gzip"), whole[..end].to_vec(), &limits).await), (400, "gzip_invalid"), "{end}");
    }
    let mut flipped = whole.clone();
    let checksum = flipped.len() - 6;
    flipped[checksum] ^= 1;
    assert_eq!(code(read(Some("gzip"), flipped, &limits).await), (400, "gzip_invalid"));
    assert_eq!(code(read(Some("gzip"), "{}", &limits).await), (400, "gzip_invalid"));
    assert_eq!(code(read(Some("gzip"), [whole.as_slice(), b"rest"].concat(), &limits).await), (400, "gzip_invalid"));
}

#[tokio::test]
async fn codings_are_known_or_refused() {
    let limits = BodyLimits::default();
    for coding in ["gzip", "x-gzip", "GZIP", "identity, gzip"] {
        assert_eq!(read(Some(coding), gzip(b"{}"), &limits).await.unwrap(), "{}", "{coding}");
    }
    for coding in ["identity", ""] {
        assert_eq!(read(Some(coding), "{}", &limits).await.unwrap(), "{}", "{coding}");
    }
    for coding in ["br", "zstd", "deflate", "gzip, gzip", "gzip, br"] {
        assert_eq!(code(read(Some(coding), "{}", &limits).await), (415, "unsupported_coding"), "{coding}");
    }
}

#[tokio::test]
async fn an_upload_has_a_deadline() {
    let body = silent();
    let limits = BodyLimits { deadline: Duration::from_millis(30), ..BodyLimits::default() };
    assert_eq!(code(read_body(&HeaderMap::new(), body, &limits).await), (408, "upload_timeout"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_malformed() {
    let broken = Pieces { chunks: Vec::new().into_iter(), end: Poll::Ready(Some(Err(()))) };
    assert_eq!(
        code(read_body(&HeaderMap::new(), Body::new(broken), &BodyLimits::default()).await),
        (400, "body_incomplete")
    );
}

#[test]
fn text_is_utf8() {
    assert_eq!(utf8(b"{}").unwrap(), "{}");
    let problem = utf8(b"{\"a\":\"\xff\"}").unwrap_err();
    assert_eq!((problem.status().as_u16(), problem.code()), (400, "json_invalid"));
    assert!(problem.detail().contains("byte 6"));
}

#[test]
fn media_types() {
    use MediaType::{Json, Ndjson};
    let media = |text: &str| media_type(&headers(&[(CONTENT_TYPE, text)]), &[Json, Ndjson]);
    for text in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\"; x=1"] {
        assert_eq!(media(text).unwrap(), Json, "{text}");
    }
    assert_eq!(media("application/x-ndjson").unwrap(), Ndjson);
    assert_eq!(media_type(&HeaderMap::new(), &[Json]).unwrap(), Json);
    for text in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "", "json"] {
        let problem = media(text).unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code()), (415, "unsupported_media_type"), "{text}");
        assert!(problem.detail().contains("application/json` or `application/x-ndjson"));
    }
    let only_json = media_type(&headers(&[(CONTENT_TYPE, "application/x-ndjson")]), &[Json]);
    assert_eq!(only_json.unwrap_err().status(), 415);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any split into pieces and gzip members gives the same body.
    #[test]
    fn splits_do_not_matter(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..5), cut in 1..40_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let plain = parts.concat();
        let packed: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
        let chunks = |bytes: &[u8]| pieces(bytes.chunks(cut).map(Bytes::copy_from_slice).collect());
        let limits = BodyLimits::default();
        let read = runtime.block_on(read_body(&HeaderMap::new(), chunks(&plain), &limits)).unwrap();
        prop_assert_eq!(&read[..], &plain[..]);
        let gzipped = headers(&[(CONTENT_ENCODING, "gzip")]);
        let read = runtime.block_on(read_body(&gzipped, chunks(&packed), &limits)).unwrap();
        prop_assert_eq!(&read[..], &plain[..]);
        let exact = BodyLimits { wire: plain.len(), ..limits };
        prop_assert!(runtime.block_on(read_body(&HeaderMap::new(), chunks(&plain), &exact)).is_ok());
        if let Some(less) = plain.len().checked_sub(1) {
            let exact = BodyLimits { wire: less, ..limits };
            prop_assert!(runtime.block_on(read_body(&HeaderMap::new(), chunks(&plain), &exact)).is_err());
        }
    }
}
