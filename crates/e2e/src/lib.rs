#![doc = include_str!("../README.md")]

pub mod history;
pub mod oracle;
