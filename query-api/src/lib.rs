//! weir-query-api
