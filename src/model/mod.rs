//! The vocabulary as types. Pure: std and serde only, no I/O, nothing async.

mod address;
mod age;
mod cache;
mod capabilities;
mod context;
mod credential;
mod date;
mod described;
mod disk;
mod event;
mod explanation;
mod failure;
mod finding;
mod graph;
mod permission;
mod provenance;
mod redact;
mod reference;
mod report;
mod request;
mod run;
mod secret_name;
mod seen;
mod step;
mod subrequest;
mod version;
mod volume;

pub use address::{EngineUrl, InvalidAddress, ListenUrl, TlsDir};
pub use age::age;
pub use cache::{
    CI_VARIABLES, CacheMode, CacheRequest, LONGEST_SCOPE, MOST_FALLBACKS, cache_repository, check_scope, ci_variable,
};
pub use capabilities::{Capabilities, EngineKind, ImageStore};
pub use context::ContextKind;
pub use credential::{Credential, auths_key, auths_name, registry_host};
pub use date::Date;
pub use described::{Annotated, Annotation, check_attestation, check_export_option};
pub use disk::{DiskSum, DiskUsage, DiskUsageRequest, Held, HeldRecord, IMAGE};
pub use event::{Event, StepId};
pub use explanation::{CacheKind, CacheOutcome, CacheRef, Explanation, Found, Retag, Source, StageCache, Whose};
pub use failure::{Excerpt, Failure, FailureKind};
pub use finding::{Finding, Level};
pub use graph::{Graph, Node, NodeKind};
pub use permission::{API_GROUP, Permission};
pub use provenance::Provenance;
pub use redact::without_credentials;
pub use reference::{InvalidReference, Reference};
pub use report::{Report, Tally};
pub use request::{
    BuildRequest, CancelRequest, DEFAULT_NETWORK, DiagnoseRequest, Export, Network, PruneRequest, PushRequest,
    SessionId, is_platform,
};
pub use run::{HostAddress, RunOptions, Ulimit, check_host};
pub use secret_name::SecretName;
pub use seen::{NodeState, Seen};
pub use step::{base_image, own_step};
pub use subrequest::{Answer, Subrequest};
pub use version::{EngineVersion, InvalidVersion};
pub use volume::Volume;

/// The revision of the API that this crate speaks. Raised with each field that an older agent must not ignore.
pub const REVISION: u32 = 3;
