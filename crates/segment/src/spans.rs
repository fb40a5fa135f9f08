//! Spans: membership as it was seen and as it will be, in one list per profile and segment.
//!
//! A record admitted at H replaces the spans from H on by what [`membership`](crate::membership()) says then; what
//! lies before H stays as it was seen. So a late event changes the present, never the past, and "who was in when we
//! mailed on Tuesday" has one answer for ever. Only spans that can still change are kept beside the state
//! ([`OpenSpans`]); the whole list is in the spans table.

use std::collections::BTreeMap;

use crate::interval::{Intervals, Span};
use weir_event::codec::{Damaged, Reader, put_u64};

/// A span as a table keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredSpan {
    /// The span.
    pub span: Span,
    /// Whether it had ended when it was written, because a record ended it. Those are kept apart: a list of members
    /// is read in the order of entering, and would have to step over them.
    pub past: bool,
}

/// What a record did to a profile's spans in one segment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SpanChange {
    /// Spans that are no more.
    pub removed: Vec<StoredSpan>,
    /// Spans that are new.
    pub added: Vec<StoredSpan>,
}

/// Replaces the spans from `horizon` on. `open` are the profile's spans in the segment, of which none that reaches the
/// horizon is missing; afterwards it holds those that a record at this horizon or later can still change.
///
/// Spans that touch are one, so whoever leaves and enters at one instant never left.
pub fn advance(open: &mut Vec<StoredSpan>, membership: Intervals, horizon: i64) -> SpanChange {
    let seen = open.iter().map(|stored| Span::new(stored.span.enters, stored.span.leaves.min(horizon)));
    let next = Intervals::from_spans(seen.chain(membership.from(horizon).spans().iter().copied()).collect());
    let mut change = SpanChange::default();
    let mut kept = Vec::with_capacity(next.spans().len());
    open.retain(|stored| {
        let stays = next.spans().contains(&stored.span);
        if !stays {
            change.removed.push(*stored);
        }
        stays
    });
    for &span in next.spans() {
        let stored = open.iter().find(|stored| stored.span == span).copied().unwrap_or_else(|| {
            let new = StoredSpan { span, past: span.leaves <= horizon };
            change.added.push(new);
            new
        });
        if span.leaves >= horizon {
            kept.push(stored);
        }
    }
    *open = kept;
    change
}

/// A profile's spans by segment id, as far as a later record can change them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OpenSpans(pub BTreeMap<i64, Vec<StoredSpan>>);

impl OpenSpans {
    /// Drops what ended before the horizon.
    pub fn prune(&mut self, horizon: i64) {
        self.0.retain(|_, spans| {
            spans.retain(|stored| stored.span.leaves >= horizon);
            !spans.is_empty()
        });
    }

    /// The bytes kept beside the state.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (segment, spans) in &self.0 {
            out.extend_from_slice(&segment.to_be_bytes());
            put_u64(&mut out, spans.len() as u64);
            for stored in spans {
                out.extend_from_slice(&stored.span.enters.to_be_bytes());
                out.extend_from_slice(&stored.span.leaves.to_be_bytes());
                out.push(u8::from(stored.past));
            }
        }
        out
    }

    /// Reads what [`OpenSpans::encode`] wrote.
    ///
    /// # Errors
    /// Other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(bytes);
        let mut open = BTreeMap::new();
        while !reader.0.is_empty() {
            let segment = i64::from_be_bytes(reader.array()?);
            let count = reader.u64()?;
            let spans = (0..count).map(|_| stored(&mut reader)).collect::<Result<Vec<_>, Damaged>>()?;
            open.insert(segment, spans);
        }
        Ok(Self(open))
    }
}

fn stored(reader: &mut Reader<'_>) -> Result<StoredSpan, Damaged> {
    let span = Span::new(i64::from_be_bytes(reader.array()?), i64::from_be_bytes(reader.array()?));
    Ok(StoredSpan { span, past: reader.u8()? != 0 })
}
