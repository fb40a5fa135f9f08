#![doc = include_str!("../README.md")]

#[doc(hidden)]
pub mod conformance;
mod ends;
mod error;
pub mod faulty;
mod kafka;
mod log;
mod memory;
mod partition;
mod queue;
mod record;
mod sharing;
mod sqlite;
mod url;

pub use error::{AppendError, Cause, OpenError, ReadError, Source};
pub use faulty::{Faults, FaultyLog};
pub use kafka::{ClientSettings, ClientSettingsRefused, KafkaLog};
pub use log::{EventLog, LogAppender, LogReader, OpenOptions, open, to_end};
pub use memory::MemoryLog;
pub use partition::partition_of;
pub use record::{Bounds, Chunk, LogRecord, Record};
pub use sharing::{Share, Sharing};
pub use sqlite::SqliteLog;
pub use url::{LogUrl, LogUrlMalformed};
