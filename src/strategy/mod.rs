//! The brain: decisions as pure functions from facts to values.
//!
//! Absent: I/O, `await`, clocks. Facts come as arguments, `now` among them.

mod plan;
pub mod prune;
mod republish;
pub mod retry;

pub use plan::{Exporter, Facts, Plan, PushGroup, PushMechanism, plan, push_groups};
pub use republish::{InlineCache, Republish, inline_cache, republish, with_config};
