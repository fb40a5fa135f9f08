//! Sets of instants as half open intervals, and their algebra.
//!
//! Membership is one of these. A flag per profile and a scan that flips it would be simpler and is what makes others
//! late by minutes or hours: a flag is right only when it was last computed.

use std::fmt;

/// A half open interval `[enters, leaves)` of microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first instant that belongs to it.
    pub enters: i64,
    /// The first instant after it that doesn't; [`NEVER`] where it has no end.
    pub leaves: i64,
}

/// The end of a span that has none.
pub const NEVER: i64 = i64::MAX;
/// The start of an interval that has none. No span in a table starts here: spans start at a horizon at the earliest.
pub const ALWAYS: i64 = i64::MIN;

impl Span {
    /// `[enters, leaves)`; empty where `leaves <= enters`.
    pub const fn new(enters: i64, leaves: i64) -> Self {
        Self { enters, leaves }
    }

    /// Whether the instant belongs to it.
    pub const fn contains(self, instant: i64) -> bool {
        self.enters <= instant && instant < self.leaves
    }
}

/// A set of instants: intervals in order, none empty, no two touching.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Intervals(Vec<Span>);

impl Intervals {
    /// No instant.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Every instant.
    pub fn all() -> Self {
        Self(vec![Span::new(ALWAYS, NEVER)])
    }

    /// `[enters, leaves)`, nothing where that is empty.
    pub fn one(enters: i64, leaves: i64) -> Self {
        Self::from_spans(vec![Span::new(enters, leaves)])
    }

    /// Every instant or none.
    pub fn when(holds: bool) -> Self {
        if holds { Self::all() } else { Self::none() }
    }

    /// The union of any spans in any order.
    pub fn from_spans(mut spans: Vec<Span>) -> Self {
        spans.retain(|span| span.enters < span.leaves);
        spans.sort_unstable();
        let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(last) if span.enters <= last.leaves => last.leaves = last.leaves.max(span.leaves),
                _ => merged.push(span),
            }
        }
        Self(merged)
    }

    /// The intervals in order.
    pub fn spans(&self) -> &[Span] {
        &self.0
    }

    /// Whether no instant belongs to it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the instant belongs to it.
    pub fn contains(&self, instant: i64) -> bool {
        let after = self.0.partition_point(|span| span.enters <= instant);
        after > 0 && self.0[after - 1].contains(instant)
    }

    /// The first instant after `instant` at which belonging changes.
    pub fn next_flip(&self, instant: i64) -> Option<i64> {
        self.0.iter().flat_map(|s| [s.enters, s.leaves]).find(|edge| *edge > instant).filter(|edge| *edge != NEVER)
    }

    /// What belongs to either.
    pub fn or(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        Self::from_spans(self.0)
    }

    /// What belongs to both.
    pub fn and(self, other: &Self) -> Self {
        let (mut i, mut j) = (0, 0);
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            let span = Span::new(a.enters.max(b.enters), a.leaves.min(b.leaves));
            if span.enters < span.leaves {
                both.push(span);
            }
            if a.leaves <= b.leaves { i += 1 } else { j += 1 }
        }
        Self(both)
    }

    /// What doesn't belong to it. The complement of "for ever from t on" ends at t, and the other way round.
    pub fn complement(self) -> Self {
        let mut rest = Vec::with_capacity(self.0.len() + 1);
        let mut from = Some(ALWAYS);
        for span in self.0 {
            if let Some(from) = from {
                rest.push(Span::new(from, span.enters));
            }
            from = (span.leaves != NEVER).then_some(span.leaves);
        }
        if let Some(from) = from {
            rest.push(Span::new(from, NEVER));
        }
        Self::from_spans(rest)
    }

    /// What belongs to it from `instant` on.
    pub fn from(mut self, instant: i64) -> Self {
        self.0.retain(|span| span.leaves > instant);
        if let Some(first) = self.0.first_mut() {
            first.enters = first.enters.max(instant);
        }
        self
    }
}

impl fmt::Debug for Intervals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|s| (s.enters, s.leaves))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_set() -> impl Strategy<Value = Intervals> {
        let span = (-20_i64..20, 0_i64..12, 0..10).prop_map(|(enters, length, open)| match open {
            0 => Span::new(enters, NEVER),
            1 => Span::new(ALWAYS, enters),
            _ => Span::new(enters, enters + length),
        });
        proptest::collection::vec(span, 0..6).prop_map(Intervals::from_spans)
    }

    /// The clock by hand: every instant that the sets above can tell apart.
    fn clock() -> impl Iterator<Item = i64> {
        [ALWAYS, NEVER - 1].into_iter().chain(-25..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn the_algebra_is_that_of_a_brute_force_clock(a in any_set(), b in any_set(), from in -25_i64..40) {
            for t in clock() {
                prop_assert_eq!(a.clone().or(b.clone()).contains(t), a.contains(t) || b.contains(t));
                prop_assert_eq!(a.clone().and(&b).contains(t), a.contains(t) && b.contains(t));
                prop_assert_eq!(a.clone().complement().contains(t), !a.contains(t));
                prop_assert_eq!(a.clone().from(from).contains(t), t >= from && a.contains(t));
            }
        }

        #[test]
        fn a_set_has_one_form(a in any_set(), b in any_set()) {
            for set in [a.clone().or(b.clone()), a.clone().and(&b), a.clone().complement()] {
                prop_assert!(set.spans().iter().all(|s| s.enters < s.leaves));
                prop_assert!(set.spans().windows(2).all(|w| w[0].leaves < w[1].enters));
            }
            prop_assert_eq!(a.clone().complement().complement(), a.clone());
            prop_assert_eq!(a.clone().or(b.clone()).complement(), a.complement().and(&b.complement()));
        }

        #[test]
        fn the_next_flip_is_the_first_change(a in any_set(), t in -25_i64..39) {
            let by_hand = (t + 1..41).find(|i| a.contains(*i) != a.contains(*i - 1));
            prop_assert_eq!(a.next_flip(t), by_hand);
        }
    }
}
