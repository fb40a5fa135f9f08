//! Measuring programs of Weir and the parts that they share.
//!
//! The programs are in `src/bin`; each prints its own table. This library holds what is not about one program:
//! [`process`] reads what the process itself spent, [`state_workload`] makes profiles and touches, and
//! [`state_shapes`] lays them out on disk.

pub mod process;
pub mod state_shapes;
pub mod state_workload;
