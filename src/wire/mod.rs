//! Our protobuf <-> model, and failure kind <-> gRPC status. Pure: no I/O, so nothing here can fail but by the values.
//!
//! Structs are taken apart field by field, so that a new field stops compiling until somebody decides about it.

mod builds;
mod cache;
mod described;
mod disk;
mod event;
mod explanation;
mod failure;
mod finding;
mod info;
mod request;
mod run;

pub use event::{from_event, to_event};
pub use failure::{from_status, to_status};
pub use info::to_engine;
