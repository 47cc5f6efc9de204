//! What is worth doing beside the steps of a build while they run.
//!
//! `BuildKit` brings the layers of a cached result when something needs them, and exports a result when all of it is
//! done. In between the link is idle. What is decided here changes no result: it only asks early for what comes anyway.

use super::Stage;
use crate::model::{Graph, Node, NodeKind, NodeState, Seen};

/// A step that took less is not worth an export of its own before its stage is done, in milliseconds.
const LONG: u64 = 2000;

/// Something to do beside the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chore {
    /// Bring the layers of this operation.
    Bring(usize),
    /// Write this operation's layers to the cache of its stage, which has the index `stage`.
    Keep {
        /// The operation.
        node: usize,
        /// Which stage.
        stage: usize,
    },
}

/// The layers to bring now, if any: one result at a time, for the step that will need it first.
///
/// They are brought once a step runs and the link is idle: before, the layers that this very step needs would have to
/// share the link with them.
pub fn bring(graph: &Graph, seen: &Seen, brought: &[Chore]) -> Option<Chore> {
    if !seen.link_is_idle() {
        return None;
    }
    let state = |index: usize| seen.state(&graph.nodes[index].digest);
    let running: Vec<bool> = (0..graph.nodes.len())
        .map(|index| graph.nodes[index].kind == NodeKind::Run && state(index) == NodeState::Running)
        .collect();
    if !running.contains(&true) {
        return None;
    }
    let waits = graph.needs_any(&running);
    // What lies below a step that ran or runs is here.
    let has_begun = |node: &Node| {
        let state = seen.state(&node.digest);
        matches!(node.kind, NodeKind::Run | NodeKind::File)
            && matches!(state, NodeState::Running | NodeState::Done { .. } | NodeState::Failed)
    };
    let here = graph.needed_by(graph.nodes.iter().map(has_begun).collect());
    let wanted = |index: usize| {
        let is_layer = match graph.nodes[index].kind {
            // What is not cached runs by now, for it waits for nothing; of what is, not all engines say so before they
            // load it.
            NodeKind::Run | NodeKind::File => matches!(state(index), NodeState::Cached | NodeState::Waiting),
            NodeKind::Image => true,
            NodeKind::Local | NodeKind::Other => false,
        };
        is_layer && !waits[index] && !here[index] && !brought.contains(&Chore::Bring(index))
    };
    // In the order of the steps that wait.
    let inputs = (0..graph.nodes.len())
        .filter(|index| waits[*index] && !running[*index])
        .flat_map(|index| graph.nodes[index].inputs.iter().copied());
    inputs.into_iter().find(|input| wanted(*input)).map(Chore::Bring)
}

/// The results to write to the cache now, beside what is `kept` already. `stages` are those whose cache is written; the
/// result of the last one is exported by the build itself.
pub fn keep(graph: &Graph, stages: &[Stage], seen: &Seen, kept: &[Chore]) -> Vec<Chore> {
    let mut chores = Vec::new();
    for (stage, it) in stages.iter().enumerate() {
        let is_target = stage + 1 == stages.len();
        let done = |index: &usize| match seen.state(&graph.nodes[*index].digest) {
            NodeState::Done { elapsed_ms } => Some(elapsed_ms),
            _ => None,
        };
        let worth = |index: &usize| {
            let elapsed = done(index)?;
            let long = graph.nodes[*index].kind == NodeKind::Run && elapsed >= LONG;
            let wanted = if *index == it.last { !is_target } else { long };
            wanted.then_some(*index)
        };
        // A later step's layers hold those of the earlier ones.
        let Some(node) = it.steps.iter().rev().find_map(worth) else { continue };
        let chore = Chore::Keep { node, stage };
        let later = |chore: &Chore| matches!(chore, Chore::Keep { node: n, stage: s } if *s == stage && *n >= node);
        if !kept.iter().any(later) {
            chores.push(chore);
        }
    }
    chores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::{sample, stages::stages};

    /// The builder's dependencies and its build, and a final stage that has a step of its own.
    fn graph() -> Graph {
        use NodeKind::{File, Image, Local, Run};
        let nodes: &[(&str, NodeKind, &[usize])] = &[
            ("[builder 1/5] FROM base", Image, &[]),
            ("[stage-1 2/3] RUN prepare", Run, &[0]),
            ("[internal] load build context", Local, &[]),
            ("[builder 2/5] COPY lock .", File, &[0, 2]),
            ("[builder 3/5] RUN deps", Run, &[3]),
            ("[builder 4/5] COPY src .", File, &[4, 2]),
            ("[builder 5/5] RUN make", Run, &[5]),
            ("[stage-1 3/3] COPY --from=builder /out /out", File, &[1, 6]),
        ];
        sample::graph(nodes)
    }

    fn seen(states: &[(usize, NodeState)]) -> Seen {
        let mut seen = Seen::default();
        for (index, state) in states {
            seen.operation(&index.to_string(), *state);
        }
        seen
    }

    const LONG_DONE: NodeState = NodeState::Done { elapsed_ms: LONG };
    const SHORT_DONE: NodeState = NodeState::Done { elapsed_ms: 10 };
    use NodeState::{Cached, Running};

    #[test]
    fn while_the_builder_runs_the_layers_of_the_final_stage_come() {
        let changed = [(1, Cached), (3, Cached), (4, Cached), (5, SHORT_DONE), (6, Running)];
        assert_eq!(bring(&graph(), &seen(&changed), &[]), Some(Chore::Bring(1)));
        assert_eq!(bring(&graph(), &seen(&changed), &[Chore::Bring(1)]), None);
        let mut busy = seen(&changed);
        busy.layer("6", "extracting sha256:1", false);
        assert_eq!(bring(&graph(), &busy, &[]), None, "the link is not idle");
        busy.layer("6", "extracting sha256:1", true);
        assert_eq!(bring(&graph(), &busy, &[]), Some(Chore::Bring(1)));
    }

    #[test]
    fn nothing_is_brought_that_nobody_waits_for() {
        for states in [
            [(1, Cached), (4, Cached), (6, Cached), (7, Cached)].as_slice(),
            [(1, Running), (3, SHORT_DONE), (4, Running)].as_slice(),
            [(1, LONG_DONE), (3, SHORT_DONE), (4, Running)].as_slice(),
            &[],
        ] {
            assert_eq!(bring(&graph(), &seen(states), &[]), None, "{states:?}");
        }
    }

    #[test]
    fn a_long_step_is_kept_before_its_stage_is_done_and_the_stage_then() {
        let graph = graph();
        let worth = stages(&graph);
        let keep = |states: &[(usize, NodeState)], kept: &[Chore]| keep(&graph, &worth, &seen(states), kept);
        let (deps, builder, prepare) =
            (Chore::Keep { node: 4, stage: 0 }, Chore::Keep { node: 6, stage: 0 }, Chore::Keep { node: 1, stage: 1 });
        let mut states = vec![(1, LONG_DONE), (3, SHORT_DONE), (4, Running)];
        assert_eq!(keep(&states, &[]), [prepare]);
        states[2] = (4, LONG_DONE);
        assert_eq!(keep(&states, &[prepare]), [deps]);
        states.extend([(5, SHORT_DONE), (6, SHORT_DONE)]);
        assert_eq!(keep(&states, &[prepare, deps]), [builder]);
        assert_eq!(keep(&states, &[prepare]), [builder], "the stage's image has the layers of its earlier steps");
        states.push((7, LONG_DONE));
        assert!(keep(&states, &[prepare, deps, builder]).is_empty(), "the build itself exports the target");
    }

    #[test]
    fn a_stage_that_did_not_change_is_not_written_again() {
        let graph = graph();
        let unchanged = [(1, Cached), (3, Cached), (4, Cached), (5, Cached), (6, Cached), (7, Cached)];
        assert!(keep(&graph, &stages(&graph), &seen(&unchanged), &[]).is_empty());
    }
}
