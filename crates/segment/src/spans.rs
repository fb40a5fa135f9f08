//! Spans: membership as it was seen and as it will be, in one list per profile and segment.
//!
//! A record admitted at H replaces the spans from H on by what [`membership`](crate::membership::membership) says
//! then; what lies before H stays as it was seen. So a late event changes the present, never the past, and "who was in
//! when we mailed on Tuesday" has one answer for ever. Only spans that can still change are kept beside the state
//! ([`OpenSpans`]); the whole list is in the spans table.

use std::collections::BTreeMap;

use crate::codec::{Damaged, Reader, put_u64};
use crate::interval::{Intervals, Span};

/// What a record did to a profile's spans in one segment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SpanChange {
    /// Spans that are no more.
    pub removed: Vec<Span>,
    /// Spans that are new.
    pub added: Vec<Span>,
}

/// Replaces the spans from `horizon` on. `open` are the profile's spans in the segment of which none that reaches the
/// horizon is missing; afterwards it holds those that a record at this horizon or later can still change.
///
/// Spans that touch are one, so whoever leaves and enters at one instant never left.
pub fn advance(open: &mut Vec<Span>, membership: Intervals, horizon: i64) -> SpanChange {
    let seen = open.iter().map(|span| Span::new(span.enters, span.leaves.min(horizon)));
    let next = Intervals::from_spans(seen.chain(membership.from(horizon).spans().iter().copied()).collect());
    let removed = open.iter().filter(|span| !next.spans().contains(span)).copied().collect();
    let added = next.spans().iter().filter(|span| !open.contains(span)).copied().collect();
    *open = next.spans().iter().filter(|span| span.leaves >= horizon).copied().collect();
    SpanChange { removed, added }
}

/// A profile's spans by segment id, as far as a later record can change them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OpenSpans(pub BTreeMap<i64, Vec<Span>>);

impl OpenSpans {
    /// Drops what ended before the horizon.
    pub fn prune(&mut self, horizon: i64) {
        self.0.retain(|_, spans| {
            spans.retain(|span| span.leaves >= horizon);
            !spans.is_empty()
        });
    }

    /// The bytes kept beside the state.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (segment, spans) in &self.0 {
            out.extend_from_slice(&segment.to_be_bytes());
            put_u64(&mut out, spans.len() as u64);
            for span in spans {
                out.extend_from_slice(&span.enters.to_be_bytes());
                out.extend_from_slice(&span.leaves.to_be_bytes());
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
            let spans = (0..reader.u64()?)
                .map(|_| Ok(Span::new(i64::from_be_bytes(reader.array()?), i64::from_be_bytes(reader.array()?))))
                .collect::<Result<Vec<_>, Damaged>>()?;
            open.insert(segment, spans);
        }
        Ok(Self(open))
    }
}
