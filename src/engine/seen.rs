//! `BuildKit`'s Status stream > what is seen of the operations, by their digest.

use bollard_buildkit_proto::moby::buildkit::v1::StatusResponse;

use super::status::elapsed_ms;
use crate::model::{NodeState, Seen};

/// Takes in one message; whether it said anything of operations or layers. Most bring output alone.
pub(super) fn see(seen: &mut Seen, status: &StatusResponse) -> bool {
    let mut said = !status.vertexes.is_empty();
    for vertex in &status.vertexes {
        let says = match (vertex.started, vertex.completed) {
            _ if !vertex.error.is_empty() => NodeState::Failed,
            (Some(_), _) if vertex.cached => NodeState::Cached,
            (Some(started), Some(completed)) => NodeState::Done { elapsed_ms: elapsed_ms(started, completed) },
            (Some(_), None) => NodeState::Running,
            (None, _) => NodeState::Waiting,
        };
        seen.operation(&vertex.digest, says);
    }
    for layer in &status.statuses {
        let id = layer.id.as_str();
        if ["pulling sha256:", "extracting sha256:", "sha256:"].iter().any(|kind| id.starts_with(kind)) {
            seen.layer(&layer.vertex, id, layer.completed.is_some());
            said = true;
        }
    }
    said
}
