#![doc = include_str!("../README.md")]

mod body;
mod drain;
mod guard;
mod headers;
mod object;
mod problem;
mod profile_ref;
mod query;
mod refusals;
mod serve;
mod server;
mod suggest;
mod surface;
mod wrap;

pub use body::{BodyLimits, MediaType, media_type, read_body, utf8};
pub use headers::{DEFAULT_WAIT, ListForm, MAX_WAIT, bearer, list_form, prefer_wait, weir_after};
pub use object::JsonObject;
pub use problem::{FieldError, Problem};
pub use profile_ref::ProfileRef;
pub use query::{DEFAULT_LIMIT, MAX_LIMIT, Query};
pub use serve::{Routes, ServeOptions, serve};
pub use server::{CantListen, Server, bind};
pub use wrap::{RequestId, WrapOptions, wrap};
