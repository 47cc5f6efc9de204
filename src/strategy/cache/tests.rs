#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    model::{BuildRequest, CacheKind, CacheRequest, Graph, Node, NodeKind},
    strategy::{
        Plan, plan, question,
        sample::{buildkitd, containerd, graphdriver, request, tag},
    },
};

mod asked;
mod decided;

/// A build with these stages, each of which runs something and is copied from by the last one.
fn graph(stages: &[&str]) -> Graph {
    let (target, others) = stages.split_last().unwrap();
    let node = |name: String, kind, inputs: Vec<usize>| Node {
        digest: format!("sha256:{name}"),
        name,
        kind,
        base: inputs.first().copied(),
        inputs,
    };
    let mut nodes = vec![node("FROM base".to_owned(), NodeKind::Image, Vec::new())];
    for stage in others {
        nodes.push(node(format!("[{stage} 2/2] RUN make"), NodeKind::Run, vec![0]));
    }
    let inputs = (0..nodes.len()).collect();
    nodes.push(node(format!("[{target} 2/2] COPY --from=all / /").replace("[ ", "["), NodeKind::File, inputs));
    Graph { nodes }
}

fn two_stages() -> Graph {
    graph(&["builder", "stage-1"])
}

fn scopes(own: Option<&str>, fallbacks: &[&str]) -> Scopes {
    Scopes {
        ci: None,
        own: own.map(str::to_owned),
        fallbacks: fallbacks.iter().map(|&name| name.to_owned()).collect(),
        reads: Ok(()),
        writes: Ok(()),
        notes: Vec::new(),
    }
}

fn facts<'a>(request: &'a BuildRequest, capabilities: &'a Capabilities) -> Facts<'a> {
    Facts { request, capabilities, allowed: &[], insecure: &[] }
}

fn names(candidates: &[Candidate]) -> Vec<String> {
    candidates.iter().map(|candidate| candidate.reference.to_string()).collect()
}
