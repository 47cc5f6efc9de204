//! `BuildKit`'s definition of a build > our graph, and back: the part of it that ends at one operation.

use std::collections::HashMap;

use bollard_buildkit_proto::pb::{self, op};
use prost::Message as _;

use crate::{
    digest::sha256,
    model::{Graph, Node, NodeKind},
};

/// What `BuildKit` calls an operation in its own words.
const NAME: &str = "llb.customname";

/// A definition that was understood.
#[derive(Debug, Clone)]
pub struct Definition {
    whole: pb::Definition,
    graph: Graph,
    /// Index of the operation, as the graph has it, in `whole.def`, and which of its outputs is its file system.
    places: Vec<(usize, i64)>,
}

impl Definition {
    /// Reads one. `None` where it is none that we can read; then it can be built, and no more.
    pub(super) fn read(whole: pb::Definition) -> Option<Self> {
        let mut known: HashMap<String, usize> = HashMap::new();
        let (mut nodes, mut places) = (Vec::new(), Vec::new());
        let mut result = None;
        for (at, bytes) in whole.def.iter().enumerate() {
            let op = pb::Op::decode(bytes.as_slice()).ok()?;
            let inputs: Option<Vec<usize>> = op.inputs.iter().map(|input| known.get(&input.digest).copied()).collect();
            let inputs = inputs?;
            let Some(work) = &op.op else {
                // The last one only points to the result.
                result = Some((*inputs.first()?, op.inputs.first()?.index));
                continue;
            };
            let digest = sha256(bytes);
            let (kind, base, output) = read(work);
            let description = whole.metadata.get(&digest).and_then(|m| m.description.get(NAME));
            let base = base.and_then(|base| inputs.get(base).copied());
            known.insert(digest.clone(), nodes.len());
            nodes.push(Node { digest, name: description.cloned().unwrap_or_default(), kind, inputs, base });
            places.push((at, output));
        }
        let (result, index) = result?;
        // Nothing but the result is ever needed, and it comes last.
        if result + 1 != nodes.len() {
            return None;
        }
        places.last_mut()?.1 = index;
        Some(Self { whole, graph: Graph { nodes }, places })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// All of it, or the part that ends at one node of the graph.
    pub(super) fn part(&self, until: Option<usize>) -> Result<pb::Definition, tonic::Status> {
        match until {
            None => Some(self.whole.clone()),
            Some(node) => self.until(node),
        }
        .ok_or_else(|| tonic::Status::internal("a part of a build that it does not have"))
    }

    /// The part that ends at this node of the graph.
    fn until(&self, node: usize) -> Option<pb::Definition> {
        let (_, output) = *self.places.get(node)?;
        let needed = self.graph.needs(node);
        let mut def: Vec<Vec<u8>> = needed
            .iter()
            .zip(&self.places)
            .filter(|(needed, _)| **needed)
            .filter_map(|(_, (at, _))| self.whole.def.get(*at).cloned())
            .collect();
        let input = pb::Input { digest: self.graph.nodes[node].digest.clone(), index: output };
        let end = pb::Op { inputs: vec![input], ..pb::Op::default() }.encode_to_vec();
        let mut metadata = self.whole.metadata.clone();
        let end_of_whole = self.whole.def.last().map(|bytes| sha256(bytes)).unwrap_or_default();
        if let Some(end_metadata) = metadata.remove(&end_of_whole) {
            metadata.insert(sha256(&end), end_metadata);
        }
        def.push(end);
        Some(pb::Definition { def, metadata, source: self.whole.source.clone() })
    }
}

/// Kind, input whose file system is changed, and output that is the file system.
fn read(op: &op::Op) -> (NodeKind, Option<usize>, i64) {
    let input = |index: i64| usize::try_from(index).ok();
    match op {
        op::Op::Exec(exec) => {
            let root = exec.mounts.iter().find(|mount| mount.dest == "/");
            (NodeKind::Run, root.and_then(|root| input(root.input)), root.map_or(0, |root| root.output.max(0)))
        }
        op::Op::File(file) => (NodeKind::File, file.actions.first().and_then(|action| input(action.input)), 0),
        op::Op::Source(source) => match source.identifier.split_once("://") {
            Some(("docker-image", _)) => (NodeKind::Image, None, 0),
            Some(("local", _)) => (NodeKind::Local, None, 0),
            _ => (NodeKind::Other, None, 0),
        },
        _ => (NodeKind::Other, None, 0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn image(name: &str) -> pb::Op {
        let source = pb::SourceOp { identifier: format!("docker-image://{name}"), ..pb::SourceOp::default() };
        pb::Op { op: Some(op::Op::Source(source)), ..pb::Op::default() }
    }

    fn run(inputs: Vec<pb::Input>, command: &str) -> pb::Op {
        let meta = pb::Meta { args: vec![command.to_owned()], ..pb::Meta::default() };
        // A cache mount comes first, and the root's output has not the number of its mount.
        let mounts = vec![
            pb::Mount { dest: "/cache".to_owned(), input: -1, output: -1, ..pb::Mount::default() },
            pb::Mount { dest: "/".to_owned(), input: 0, output: 0, ..pb::Mount::default() },
        ];
        let exec = pb::ExecOp { meta: Some(meta), mounts, ..pb::ExecOp::default() };
        pb::Op { inputs, op: Some(op::Op::Exec(exec)), ..pb::Op::default() }
    }

    fn to(bytes: &[u8]) -> pb::Input {
        pb::Input { digest: sha256(bytes), index: 0 }
    }

    fn sample() -> pb::Definition {
        let base = image("r/a:1").encode_to_vec();
        let one = run(vec![to(&base)], "one").encode_to_vec();
        let other = run(vec![to(&base)], "other").encode_to_vec();
        let result = run(vec![to(&other), to(&one)], "result").encode_to_vec();
        let end = pb::Op { inputs: vec![to(&result)], ..pb::Op::default() }.encode_to_vec();
        let named = |name: &str| pb::OpMetadata {
            description: [(NAME.to_owned(), name.to_owned())].into(),
            ..pb::OpMetadata::default()
        };
        let metadata = [(sha256(&one), named("[one 1/1] RUN one")), (sha256(&end), named("end"))].into();
        pb::Definition { def: vec![base, one, other, result, end], metadata, source: None }
    }

    #[test]
    fn a_definition_is_read_into_a_graph() {
        let read = Definition::read(sample()).unwrap();
        let graph = read.graph();
        assert_eq!(graph.nodes.iter().map(|n| n.kind).collect::<Vec<_>>(), {
            use NodeKind::{Image, Run};
            [Image, Run, Run, Run]
        });
        assert_eq!(graph.nodes[1].name, "[one 1/1] RUN one");
        assert_eq!((graph.nodes[3].inputs.as_slice(), graph.nodes[3].base), ([2, 1].as_slice(), Some(2)));
    }

    #[test]
    fn a_part_of_it_is_a_definition_of_its_own() {
        let whole = Definition::read(sample()).unwrap();
        let part = whole.until(1).unwrap();
        assert_eq!(part.def.len(), 3, "the base, the step and the end");
        assert_eq!(part.metadata[&sha256(part.def.last().unwrap())].description[NAME], "end");
        let read = Definition::read(part).unwrap();
        assert_eq!(read.graph().nodes, whole.graph().nodes[..2]);
        assert!(whole.until(4).is_none());
    }

    #[test]
    fn what_cannot_be_read_is_no_definition() {
        let without_end = pb::Definition { def: sample().def[..4].to_vec(), ..sample() };
        let unknown_input = pb::Definition { def: sample().def[1..].to_vec(), ..sample() };
        let garbage = pb::Definition { def: vec![vec![0xff; 10]], ..sample() };
        for odd in [without_end, unknown_input, garbage, pb::Definition::default()] {
            assert!(Definition::read(odd).is_none());
        }
    }
}
