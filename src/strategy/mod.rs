//! The brain: decisions as pure functions from facts to values.
//!
//! Absent: I/O, `await`, clocks. Facts come as arguments, `now` among them.

mod cache;
mod output;
pub mod overlap;
mod plan;
pub mod prune;
mod refs;
mod republish;
pub mod retry;
#[cfg(test)]
mod sample;
mod scope;
mod secrets;
mod stages;

pub use cache::{CacheKind, CachePlan, Candidate, Found, Mode, Whose, mode, registry_cache};
pub use output::{
    Exporter, Facts, Output, PushGroup, PushMechanism, local_image, output, push_groups, pushed_blobs, pushed_image,
};
pub use plan::{Plan, Question, plan, question};
pub use refs::cache_tag;
pub use republish::{InlineCache, Republish, inline_cache, republish, with_config};
pub use scope::{Scopes, scopes};
pub use secrets::{looks_like_secret, secret_warnings};
pub use stages::Stage;

use cache::{cache_plan, candidates};
use stages::worth_caching;
