#![doc = include_str!("../README.md")]
//!
//! This library holds what is not about one program: [`process`] reads what the process itself spent,
//! [`state_workload`] makes profiles and touches, and [`state_shapes`] lays them out on disk.

pub mod process;
pub mod state_shapes;
pub mod state_workload;
