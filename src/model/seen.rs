//! What has been seen of a build's operations while it runs.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Graph, NodeKind};

/// How far an operation has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NodeState {
    /// Nothing was heard of it.
    #[default]
    Waiting,
    /// It runs.
    Running,
    /// Its result is known from a cache; its layers may not be here yet.
    Cached,
    /// It was done in this build.
    Done {
        /// How long it took, in milliseconds.
        elapsed_ms: u64,
    },
    /// It failed.
    Failed,
}

/// What has been seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    states: HashMap<String, NodeState>,
    /// Layers on their way, as (operation, layer).
    transfers: HashSet<(String, String)>,
    /// Operations for which the engine began to fetch a layer.
    fetching: HashSet<String>,
    /// Layers that the engine began to fetch for an operation.
    pulled: HashMap<String, BTreeSet<String>>,
}

impl Seen {
    /// Takes in what the engine says of an operation.
    pub fn operation(&mut self, digest: &str, says: NodeState) {
        let state = self.states.entry(digest.to_owned()).or_default();
        *state = match (*state, says) {
            // What came from the cache is loaded later, and then reported again, as if it ran.
            (NodeState::Cached, NodeState::Running | NodeState::Done { .. }) => NodeState::Cached,
            (before, NodeState::Waiting) => before,
            (_, now) => now,
        };
    }

    /// Takes in what the engine says of a layer that it fetches or unpacks for an operation.
    pub fn layer(&mut self, operation: &str, layer: &str, done: bool) {
        self.fetching.insert(operation.to_owned());
        let key = (operation.to_owned(), layer.to_owned());
        if done {
            self.transfers.remove(&key);
        } else {
            self.transfers.insert(key);
        }
        if let Some(digest) = layer.strip_prefix("pulling ") {
            self.pulled.entry(operation.to_owned()).or_default().insert(digest.to_owned());
        }
    }

    /// How far this operation has come.
    pub fn state(&self, digest: &str) -> NodeState {
        self.states.get(digest).copied().unwrap_or_default()
    }

    /// Whether no layer is on its way.
    pub fn link_is_idle(&self) -> bool {
        self.transfers.is_empty()
    }

    /// Whether the engine began to fetch a layer for this operation.
    pub fn fetches(&self, digest: &str) -> bool {
        self.fetching.contains(digest)
    }

    /// Digests of the layers that the engine began to fetch for this operation, where it names them all at once.
    pub fn pulled(&self, digest: &str) -> Option<&BTreeSet<String>> {
        self.pulled.get(digest)
    }

    /// Whether a step of this build had to be done, or has begun to be.
    pub fn something_ran(&self, graph: &Graph) -> bool {
        graph.nodes.iter().any(|node| {
            matches!(node.kind, NodeKind::Run | NodeKind::File)
                && matches!(self.state(&node.digest), NodeState::Running | NodeState::Done { .. })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_step_that_is_loaded_later_is_still_cached() {
        let mut seen = Seen::default();
        assert_eq!(seen.state("a"), NodeState::Waiting);
        seen.operation("a", NodeState::Cached);
        seen.operation("a", NodeState::Running);
        seen.operation("a", NodeState::Done { elapsed_ms: 5 });
        assert_eq!(seen.state("a"), NodeState::Cached);
        seen.operation("b", NodeState::Running);
        seen.operation("b", NodeState::Waiting);
        assert_eq!(seen.state("b"), NodeState::Running);
        // Looking at the cache key of a file operation may look like a run that was cached after all.
        seen.operation("b", NodeState::Cached);
        assert_eq!(seen.state("b"), NodeState::Cached);
    }

    #[test]
    fn the_link_is_idle_once_every_layer_has_come() {
        let mut seen = Seen::default();
        assert!(seen.link_is_idle());
        seen.layer("a", "pulling sha256:1", false);
        seen.layer("a", "extracting sha256:1", false);
        seen.layer("a", "pulling sha256:1", true);
        assert!(!seen.link_is_idle());
        seen.layer("a", "extracting sha256:1", true);
        assert!(seen.link_is_idle());
        assert_eq!(seen.pulled("a").map(BTreeSet::len), Some(1));
    }
}
