//! The gRPC handlers: doors, not rooms. Each checks what comes in, hands it on, and streams what comes back.
//!
//! | module | what it does |
//! | --- | --- |
//! | `agent` | the state that all calls share, and the generated trait |
//! | `sessions` | the sessions that clients lend, by their id |
//! | `builds` | the builds that run or wait |
//! | `admission` | how many run at once: each gets a place, or waits for one |
//! | `build`, `plan`, `push`, `prune`, `info`, `disk` | one call each; orchestration of one build has one owner, `build` |
//! | `diagnose` | the facts about what is around the engine; `doctor` says what they mean |
//! | `prepare`, `probe` | what `build` and `plan` have in common: all that is found out first |
//! | `pulling` | the agent's pull secrets, where a client has nothing |
//! | `remote` | git contexts: who fetches them |
//! | `provenance` | how the result came about, for who asked |
//! | `subrequest` | what the frontend is asked in place of a build |
//! | `republish` | what `build` publishes without loading a layer |
//! | `chores`, `merge`, `places` | what goes on beside a build: cache that is written, and made one |
//! | `trouble` | whether a solve that a registry let down is worth another one |
//! | `stream` | events to the caller; the report that they fold into |
//! | `listen`, `incoming`, `crowd`, `tls` | the sockets, connections as they come, how many, and TLS |
//! | `door` | who is let in, and to what |
//! | `open` | from the configuration to sockets and settings |
//! | `serve` | puts it all behind one server; health, reflection, drain |
//!
//! Absent: decisions about cache (`strategy`), BuildKit (`engine`), registry protocol (`registry`).

mod admission;
mod agent;
mod blind;
mod build;
mod builds;
mod chores;
mod crowd;
mod diagnose;
mod disk;
mod door;
mod incoming;
mod info;
mod listen;
mod merge;
mod open;
mod places;
mod plan;
mod prepare;
mod probe;
mod provenance;
mod prune;
mod pulling;
mod push;
mod remaining;
mod remote;
mod republish;
mod serve;
mod sessions;
mod stream;
mod subrequest;
mod tls;
mod trouble;
mod unite;

pub use agent::{Agent, Settings};
pub use listen::Listener;
pub use open::open;
pub use serve::serve;
pub use tls::Tls;
