//! How much a workspace may hold.
//!
//! They are part of what the fold decides: under another limit an old log could fold to another state. So they stay as
//! they are; a workspace that is to hold more says so by a field of a record.

/// Bytes of a slug.
pub const SLUG_BYTES: usize = 64;
/// Live segments of one workspace.
pub const SEGMENTS: usize = 5_000;
/// Live scores of one workspace.
pub const SCORES: usize = 1_000;
/// Live segments of one workspace that are true of an empty history: each is evaluated for every new profile.
pub const TRUE_OF_EMPTY: usize = 50;
/// Keys of one workspace, or of the deployment, that aren't revoked.
pub const KEYS: usize = 1_000;
