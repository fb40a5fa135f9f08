//! What is done with a body that a refused request left unread.
//!
//! A server that answers 413 and closes while the client still sends makes the kernel send a reset, and many clients
//! then report a broken connection instead of the answer. So a refusal first reads on and throws away, within bounds.
//! The body is lent to the handler and comes back here when the handler drops it; the alternative, that every handler
//! which refuses drains first, would be forgotten in the one that matters.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::Version;
use axum::http::header::EXPECT;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

const MAX_BYTES: usize = 50_000_000;
const MAX_TIME: Duration = Duration::from_secs(10);

type Slot = Arc<Mutex<Option<Body>>>;

/// Where the rest of a request's body turns up when its handler has dropped it.
pub(crate) struct Unread(Option<Slot>);

impl Unread {
    /// Lends the request's body. HTTP/2 needs none of this: there a stream ends by itself.
    pub(crate) fn watch(request: &mut Request) -> Self {
        if request.body().is_end_stream() || request.version() > Version::HTTP_11 {
            return Self(None);
        }
        let slot = Slot::default();
        // Who waits for "100 Continue" sends nothing until the body is first read, and then needn't.
        let read = !request.headers().contains_key(EXPECT);
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::new(Lent { body, read, ended: false, slot: slot.clone() });
        Self(Some(slot))
    }

    /// Reads and throws away the rest, until it ends or it is too much.
    pub(crate) async fn discard(self) {
        let Some(mut body) = self.0.and_then(|slot| lock(&slot).take()) else { return };
        let rest = async {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > MAX_BYTES {
                    break;
                }
            }
        };
        // Too slow: the client gets its answer late and perhaps not at all, which is its own doing.
        let _ = tokio::time::timeout(MAX_TIME, rest).await;
    }
}

fn lock(slot: &Slot) -> std::sync::MutexGuard<'_, Option<Body>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Lent {
    body: Body,
    read: bool,
    ended: bool,
    slot: Slot,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.read = true;
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.ended |= matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.read && !self.ended && !self.body.is_end_stream() {
            *lock(&self.slot) = Some(std::mem::take(&mut self.body));
        }
    }
}
