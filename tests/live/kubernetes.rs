//! In pods of a real Kubernetes: what deploy/kubernetes promises.

mod bad_input;
mod docs;
mod manifests;
mod pool;
mod sidecar;
