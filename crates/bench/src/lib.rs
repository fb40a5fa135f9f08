//! weir-bench
