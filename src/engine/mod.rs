//! The engine room: the only one that knows BuildKit and Docker.
//!
//! | module | what it does |
//! | --- | --- |
//! | `dial` | opens byte streams, hijacks `/grpc`, speaks TLS |
//! | `link` | keeps one connection to the engine alive, and says whether it is ready |
//! | `probe` | finds out what the engine is and can do |
//! | `docker` | Docker's plain REST API, through bollard and `dial` |
//! | `build` | drives one build through BuildKit's gateway |
//! | `attach` | opens BuildKit's session on behalf of the client |
//! | `status` | BuildKit's Status stream > our events |
//! | `fault` | BuildKit's errors > our failures |
//! | `push` | pushes through the engine's REST API |
//! | `usage` | disk usage and prune |
//!
//! Absent: decisions (they come as a `Plan`), our own protobuf, registries.

mod attach;
mod build;
mod dial;
mod docker;
mod error;
mod fault;
mod link;
mod probe;
mod push;
mod status;
mod usage;

pub use build::Outcome;
pub use error::Error;
pub use link::{Engine, State};
pub use push::PushError;
pub use usage::{Freed, Used};
