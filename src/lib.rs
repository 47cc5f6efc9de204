//! Remora: a gRPC agent beside a Docker engine that makes every CI image build start warm, and its thin client.

pub mod model;
pub mod session;
pub mod wire;

/// Our protobuf, as prost makes it of `proto/`. Only `wire`, `service` and `cli` speak it.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
pub mod pb {
    tonic::include_proto!("remora.v1");
}
