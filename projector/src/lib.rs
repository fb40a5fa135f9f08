//! weir-projector
