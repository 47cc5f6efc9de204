//! The cluster as the authority: who a caller is and what it may do, and the pull secrets that the agent is told to use.
//!
//! | module | what it does |
//! | --- | --- |
//! | `cluster` | the connection with the API server, and what its errors mean |
//! | `authority` | may the holder of this token do that |
//! | `review` | `TokenReview`: whose token it is |
//! | `access` | `SubjectAccessReview`: what RBAC says |
//! | `claims` | what a token says of itself |
//! | `answers` | answers that are remembered for a while, and asked for once |
//! | `pull` | pull secrets |
//! | `entries` | what such a secret holds |
//!
//! Absent: gRPC, the engine, the registry. Tokens and passwords are in no error, log or `Debug`.

mod access;
mod answers;
mod authority;
mod claims;
mod cluster;
mod entries;
mod pull;
mod review;

pub use authority::{Authority, User};
pub use cluster::Cluster;
pub use pull::PullSecrets;
