//! weir-ingest
