//! The engine room and the agent's service against engines that fail on demand: a fake BuildKit, alone as buildkitd or
//! behind a fake dockerd.
//!
//! Both listen on a unix socket and not on a duplex pipe within the process: so the dial, the recognition of what
//! answers, the hijack and the end of a connection are tested as well. Nothing of the crate is replaced: the tests call
//! what the agent's own `main` calls.
#![cfg(all(feature = "agent", feature = "client"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::large_futures, reason = "a test's own stack holds them")]

#[path = "engine/agent.rs"]
mod agent;
#[path = "engine/caching.rs"]
mod caching;
#[path = "engine/cancelling.rs"]
mod cancelling;
#[path = "engine/capabilities.rs"]
mod capabilities;
#[path = "engine/channel.rs"]
mod channel;
#[path = "engine/control.rs"]
mod control;
#[path = "engine/defining.rs"]
mod defining;
#[path = "engine/dockerd.rs"]
mod dockerd;
#[path = "engine/draining.rs"]
mod draining;
#[path = "engine/failing.rs"]
mod failing;
#[path = "engine/fake.rs"]
mod fake;
#[path = "engine/history.rs"]
mod history;
#[path = "engine/listing.rs"]
mod listing;
#[path = "engine/merging.rs"]
mod merging;
#[path = "engine/pooling.rs"]
mod pooling;
#[path = "engine/probing.rs"]
mod probing;
#[path = "engine/progress.rs"]
mod progress;
#[path = "engine/provenance.rs"]
mod provenance;
#[path = "engine/push.rs"]
mod push;
#[path = "engine/queueing.rs"]
mod queueing;
#[path = "engine/readiness.rs"]
mod readiness;
#[path = "engine/republishing.rs"]
mod republishing;
#[path = "engine/retrying.rs"]
mod retrying;
#[path = "engine/rig.rs"]
mod rig;
#[path = "engine/service.rs"]
mod service;
#[path = "engine/session.rs"]
mod session;
#[path = "engine/socket.rs"]
mod socket;
#[path = "engine/solving.rs"]
mod solving;
