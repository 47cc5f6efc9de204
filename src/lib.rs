//! Remora: a gRPC agent beside a Docker engine that makes every CI image build start warm, and its thin client.
//!
//! One way down, one way up:
//!
//! ```text
//! argv > cli > pb > wire > BuildRequest > service > strategy::plan > Plan > engine, registry
//! BuildKit Status > engine > Event > wire > cli > a person
//! ```
//!
//! | room | what is in it | what is absent |
//! | --- | --- | --- |
//! | [`model`] | the vocabulary as types | I/O, anything async |
//! | [`strategy`] | decisions as pure functions | I/O, clocks |
//! | [`wire`] | our protobuf <-> model | I/O |
//! | [`session`] | what a client lends: context, credentials | engine, registry, decisions |
//! | [`engine`] | BuildKit and Docker | our protobuf, decisions |
//! | [`registry`] | manifests and tags | our protobuf, decisions |
//! | [`git`] | the agent's own git: a repository > a directory | engine, decisions |
//! | [`kube`] | the cluster: who a caller is, what it may do, pull secrets | gRPC, engine, registry |
//! | [`dind`] | an engine's `daemon.json`, as a pure function of what its pod is | I/O |
//! | [`doctor`] | what facts about an engine and its pod mean, and what to do | I/O |
//! | [`host`] | what the kernel tells of the pod | decisions |
//! | [`service`] | the gRPC handlers | BuildKit, registry protocol |
//! | [`cli`] | the client's commands and display | engine, strategy |
//! | [`agent_cli`] | the agent's command line | what a served call does |

#[cfg(feature = "agent")]
pub mod agent_cli;
#[cfg(feature = "client")]
pub mod cli;
#[cfg(feature = "agent")]
pub mod config;
#[cfg(any(feature = "agent", feature = "client"))]
mod digest;
#[cfg(feature = "agent")]
pub mod dind;
#[cfg(feature = "agent")]
pub mod doctor;
#[cfg(feature = "agent")]
pub mod engine;
#[cfg(feature = "agent")]
pub mod git;
mod grpc;
#[cfg(feature = "agent")]
pub mod host;
#[cfg(feature = "agent")]
pub mod kube;
#[cfg(any(feature = "agent", feature = "client"))]
mod manual;
pub mod model;
#[cfg(feature = "agent")]
pub mod registry;
#[cfg(feature = "agent")]
pub mod service;
pub mod session;
#[cfg(feature = "agent")]
pub mod strategy;
#[cfg(feature = "agent")]
pub mod telemetry;
pub mod wire;

/// Our protobuf, as prost makes it of `proto/`. Only `wire`, `service` and `cli` speak it.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
pub mod pb {
    tonic::include_proto!("remora.v1");
}

/// Our API's descriptors, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/remora.v1.bin"));
