//! The session: what the engine calls back for during a build, served by the client, forwarded by the agent.
//!
//! | module | what it does |
//! | --- | --- |
//! | `host` | serves all of the below on one connection |
//! | `directory` | what is lent of a directory |
//! | `filesync` | sends directories: the context, the Dockerfile |
//! | `root` | what is below a directory, opened without leaving it |
//! | `walk` | looks at a directory's files, one at a time |
//! | `filter` | which of them are sent: include, exclude, follow |
//! | `pattern` | which paths a list of patterns matches |
//! | `packet` | the messages of the file transfer |
//! | `path` | paths as bytes |
//! | `auth` | credentials from Docker's config file |
//! | `secrets` | secrets that steps mount |
//! | `ssh` | SSH agents that steps use |
//! | `agent`, `key` | what such an agent answers; keys that the client holds itself |
//! | `send` | takes an exported archive |
//! | `receive` | takes exported files, below one directory |
//! | `output` | the way out of a transfer |
//! | `layout` | serves the blobs of images that lie in directories |
//! | `upload` | gives what comes on standard input |
//! | `chunks` | a file or a pipe, read no faster than it is taken |
//! | `problems` | what the caller reads afterwards |
//! | `content` | the messages by which blobs are read |
//! | `pipe` | a byte stream made of two streams of gRPC messages |
//! | `lent` | the agent's half: forwards calls to the client, and knows credentials that it has not |
//! | `methods` | the names of it all |
//!
//! Absent: the engine, the registry, and decisions. The session answers what it is asked, with what it was lent.

pub mod content;
pub mod methods;

#[cfg(feature = "agent")]
mod lent;
mod pipe;

#[cfg(feature = "client")]
mod agent;
#[cfg(feature = "client")]
mod auth;
#[cfg(feature = "client")]
mod chunks;
mod directory;
mod filesync;
mod filter;
#[cfg(feature = "client")]
pub mod host;
#[cfg(feature = "client")]
mod key;
#[cfg(feature = "client")]
mod layout;
mod output;
mod packet;
mod path;
mod pattern;
mod problems;
#[cfg(feature = "client")]
mod receive;
mod root;
#[cfg(feature = "client")]
mod secrets;
#[cfg(feature = "client")]
mod send;
#[cfg(feature = "client")]
mod ssh;
#[cfg(feature = "client")]
mod upload;
mod walk;

#[cfg(feature = "client")]
pub use auth::Credentials;
pub use directory::Directory;
#[cfg(feature = "client")]
pub use host::{Attachables, serve};
#[cfg(feature = "client")]
pub use layout::Layout;
#[cfg(feature = "agent")]
pub use lent::{Fallback, Lent, Offer};
pub use methods::METHODS;
pub use pattern::broken_pattern;
#[cfg(feature = "client")]
pub use pattern::hiding_line;
pub use pipe::{Chunk, pipe};
pub use problems::{Counters, Problem, Problems};
#[cfg(feature = "client")]
pub use secrets::{Secret, Secrets};
#[cfg(feature = "client")]
pub use send::{Sink, Taker};
#[cfg(feature = "client")]
pub use ssh::SshAgents;
#[cfg(feature = "client")]
pub use upload::Upload;

#[cfg(all(test, feature = "client"))]
mod tests;
