//! The brain: decisions as pure functions from facts to values.
//!
//! Absent: I/O, `await`, clocks. Facts come as arguments, `now` among them.

mod plan;
pub mod prune;
mod refs;
pub mod retry;
mod scope;
mod secrets;

pub use plan::{Exporter, Facts, Plan, PushGroup, PushMechanism, plan, push_groups};
pub use refs::cache_tag;
pub use scope::{Scopes, scopes};
pub use secrets::{looks_like_secret, secret_warnings};
