//! The sizes that ingest accepts. KB and MB are decimal, and an event's size is that of the item as it was sent.

/// Bytes of one event as sent.
pub const EVENT_BYTES: usize = 32_000;
/// Bytes of one request, after decompression.
pub const REQUEST_BYTES: usize = 5_000_000;
/// Items in one batch.
pub const BATCH_ITEMS: usize = 10_000;
/// Nesting of arrays and objects in one event; the outermost object is level 1.
pub const JSON_DEPTH: usize = 32;
/// Bytes of an event name.
pub const NAME_BYTES: usize = 200;
/// Bytes of an event id.
pub const ID_BYTES: usize = 100;
/// Bytes of an identifier's value (an e-mail address has at most 254).
pub const IDENTIFIER_BYTES: usize = 500;
/// How far `time` may lie after the receipt: 24 hours, in microseconds.
pub const FUTURE_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// For how long an id sent again is a repeat, unless the log was made with another window: 28 days, in microseconds.
pub const DEDUP_WINDOW_MICROS: i64 = 28 * 86_400 * 1_000_000;
