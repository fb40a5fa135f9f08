#![doc = include_str!("../README.md")]

mod config;
mod health;
mod setting;
mod signals;
mod source;
mod supervisor;
mod telemetry;

pub use config::{Config, ConfigError, Help, Program};
pub use health::{Component, ComponentReport, Health, HealthReport};
pub use setting::Setting;
pub use signals::{Signal, signals};
pub use source::Source;
pub use supervisor::{Exit, Supervisor, causes};
pub use telemetry::{LogFilter, LogFormat, Metrics, TELEMETRY_SETTINGS, Telemetry, TelemetryError, start_logging};
