//! The brain: decisions as pure functions from facts to values.
//!
//! Absent: I/O, `await`, clocks. Facts come as arguments, `now` among them.

mod cache;
mod described;
mod explain;
mod merge;
mod output;
pub mod overlap;
mod plan;
pub mod prune;
pub mod queue;
mod record;
mod refs;
mod republish;
mod retag;
pub mod retry;
mod run;
#[cfg(test)]
mod sample;
mod scope;
mod secrets;
mod stages;

pub use cache::{CachePlan, Candidate, Mode, if_possible, is_blind, may_be_new, mode, registry_cache};
pub use explain::{explain, reading};
pub use merge::{
    CACHE_CONFIG, Form, Known, LARGEST_CACHE_CONFIG, LayerOf, Merged, Part, form, merge, merged_images, unite,
};
pub use output::{
    Exporter, Facts, Output, PushGroup, PushMechanism, local_image, output, push_groups, pushed_blobs, pushed_image,
};
pub use plan::{Plan, Question, plan, question};
pub use record::{InlineCache, inline_cache};
pub use refs::{cache_tag, merged_tag};
pub use republish::{Republish, StandIn, republish, same_base, stand_in, with_config};
pub use retag::{CachedImage, retag};
pub use run::given;
pub use scope::{Scopes, scopes};
pub use secrets::{looks_like_secret, secret_warnings};
pub use stages::Stage;

use cache::{cache_plan, candidates};
use stages::{Worth, stages, worth, worth_caching};
