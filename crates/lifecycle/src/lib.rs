#![doc = include_str!("../README.md")]

mod config;
mod health;
mod launch;
mod listen;
mod output;
mod probe;
mod retry;
mod setting;
pub mod settings;
mod signals;
mod source;
mod supervisor;
mod telemetry;

pub use config::{Config, ConfigError, Help, Program, unknown_variables};
pub use health::{Component, ComponentReport, Health, HealthReport};
pub use launch::{Failure, launch};
pub use listen::listen_address;
pub use output::{Unsaid, complain, say};
pub use probe::{Probe, keep_probing};
pub use retry::keep_trying;
pub use setting::Setting;
pub use signals::{Signal, signals};
pub use source::Source;
pub use supervisor::{Exit, Supervisor, causes};
pub use telemetry::{LogFilter, LogFormat, Metrics, TELEMETRY_SETTINGS, Telemetry, TelemetryError, start_logging};
