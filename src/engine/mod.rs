//! The engine room: the only one that knows BuildKit and Docker.
//!
//! | module | what it does |
//! | --- | --- |
//! | `dial` | opens byte streams, hijacks `/grpc`, speaks TLS |
//! | `link` | keeps one connection to the engine alive, and says whether it is ready |
//! | `probe` | finds out what the engine is and can do |
//! | `docker` | Docker's plain REST API, through bollard and `dial` |
//! | `solver` | drives the solves of one build through BuildKit's gateway |
//! | `ask` | a request and a plan as BuildKit's messages |
//! | `definition` | BuildKit's definition of a build > our graph, and parts of it |
//! | `attach` | opens BuildKit's session on behalf of the client |
//! | `content` | blobs that the engine reads from the agent, within the session |
//! | `status` | BuildKit's Status stream > our events |
//! | `raw` | BuildKit's Status stream > its own client's JSON |
//! | `seen` | BuildKit's Status stream > what is seen of each operation |
//! | `fault` | BuildKit's errors > our failures |
//! | `provenance` | how a build came about, from the engine's history |
//! | `push` | pushes through the engine's REST API |
//! | `surroundings` | its networks, its disk, and who else can reach it |
//! | `usage` | disk usage and prune |
//!
//! Absent: decisions (they come as a `Plan`), our own protobuf, registries.

mod ask;
mod attach;
mod content;
mod definition;
mod dial;
mod docker;
mod error;
mod fault;
mod link;
mod probe;
mod provenance;
mod push;
mod raw;
mod seen;
mod solver;
mod status;
mod surroundings;
mod usage;
mod watch;

pub use ask::{MAIN_INPUT, Outer};
pub use definition::Definition;
pub use error::Error;
pub use link::{Engine, State};
pub use push::PushError;
pub use solver::{Fault, Made, Outcome, Part, Solve, Solver};
pub use surroundings::Surroundings;
pub use usage::{Freed, Used};
pub use watch::View;
