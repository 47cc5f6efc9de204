//! The agent's own git: fetches a build context where the engine cannot.
//!
//! | module | what it does |
//! | --- | --- |
//! | `source` | a git context as people name it |
//! | `login` | what a repository's host is shown, in git's environment |
//! | `program` | runs git, and ends it |
//! | `ssh` | the client's SSH agent as a socket, for git's ssh |
//! | `fetch` | a repository > a directory |
//! | `probe` | whether a URL is that of a repository |
//! | `fault` | git's words > our failures |
//!
//! What a repository says is not trusted: git reads no configuration but what is given here, runs no hooks, and knows no
//! transport that reads files or runs programs, for submodules neither. Nothing of a credential is in an argument, a file
//! or a message.
//!
//! Absent: the engine, registries, and the decision who fetches.

mod fault;
mod fetch;
mod login;
mod probe;
mod program;
mod source;
mod ssh;

pub use fault::{advice, cannot_fetch};
pub use fetch::{Checkout, fetch};
pub use login::{Login, Scope};
pub use probe::is_repository;
pub use program::is_there;
pub use source::{Named, Source};
