//! The stages of a Dockerfile, as the operations of its build show them.
//!
//! `BuildKit` names each step after its stage, so nothing has to be read from the Dockerfile itself: neither heredocs nor
//! escape directives nor `ARG`s in a `FROM` can be misread, and what the target does not need is not there at all.

use crate::model::{Graph, NodeKind};

/// A stage that the target needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name, or `stage-1` for the second where it has none; empty for the only one.
    pub name: String,
    /// Its last operation, as an index of the graph.
    pub last: usize,
    /// Its operations, in their order.
    pub steps: Vec<usize>,
    /// Whether it runs something.
    pub runs: bool,
}

/// The stages, in the order in which their last steps come; that of the target is the last one.
pub(super) fn stages(graph: &Graph) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let Some(name) = stage_of(&node.name).filter(|_| matches!(node.kind, NodeKind::Run | NodeKind::File)) else {
            continue;
        };
        let mut stage = match stages.iter().position(|stage| stage.name == name) {
            Some(known) => stages.remove(known),
            None => Stage { name: name.to_owned(), last: index, steps: Vec::new(), runs: false },
        };
        stage.last = index;
        stage.steps.push(index);
        stage.runs |= node.kind == NodeKind::Run;
        stages.push(stage);
    }
    stages
}

/// What is worth doing about the cache of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Worth {
    /// It is the target: what is built.
    Target,
    /// An image of its own.
    Image,
    /// Nothing: its layers lie below this other stage, whose image has them as well.
    Below(String),
    /// Nothing: it runs nothing.
    RunsNothing,
}

/// What is worth doing about the cache of each stage, in their order.
pub(super) fn worth(graph: &Graph, stages: &[Stage]) -> Vec<Worth> {
    let below = |upper: &Stage, lower: &Stage| graph.chain(upper.last).skip(1).any(|index| index == lower.last);
    let worth = |(index, stage): (usize, &Stage)| {
        // The last one that lies above it lies below no other.
        let above = stages
            .iter()
            .enumerate()
            .rev()
            .find(|(other, upper)| (upper.runs || other + 1 == stages.len()) && below(upper, stage));
        match above {
            _ if index + 1 == stages.len() => Worth::Target,
            Some((_, upper)) => Worth::Below(upper.name.clone()),
            None if stage.runs => Worth::Image,
            None => Worth::RunsNothing,
        }
    };
    stages.iter().enumerate().map(worth).collect()
}

/// The stages that are worth an image of their own: they run something, and do not lie below the target or another such
/// stage.
pub(super) fn worth_caching(graph: &Graph, stages: &[Stage]) -> Vec<Stage> {
    let worth = stages.iter().zip(worth(graph, stages));
    worth.filter(|(_, worth)| *worth == Worth::Image).map(|(stage, _)| stage.clone()).collect()
}

/// `builder` in `[builder 2/5] RUN make` and `[linux/arm64 builder 2/5] RUN make`; empty in `[2/5] RUN make`.
fn stage_of(name: &str) -> Option<&str> {
    let (place, _) = name.strip_prefix('[')?.split_once("] ")?;
    let (before, number) = place.rsplit_once(' ').unwrap_or(("", place));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (at, of) = number.split_once('/')?;
    if !is_number(at) || !is_number(of) {
        return None;
    }
    // A platform has a slash, which no stage's name has.
    Some(match before.rsplit_once(' ') {
        Some((_, stage)) => stage,
        None if before.contains('/') => "",
        None => before,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::sample::graph;

    fn names(stages: &[Stage]) -> Vec<&str> {
        stages.iter().map(|stage| stage.name.as_str()).collect()
    }

    #[test]
    fn the_name_of_a_step_says_its_stage() {
        for (name, stage) in [
            ("[builder 2/5] RUN make", Some("builder")),
            ("[linux/arm64 builder 2/5] RUN make", Some("builder")),
            ("[2/5] RUN make", Some("")),
            ("[linux/amd64 2/5] RUN make", Some("")),
            ("[linux/amd64->arm64 builder 3/3] RUN x", Some("builder")),
            ("[stage-1 3/3] COPY --from=builder /out /out", Some("stage-1")),
            ("[internal] load build context", None),
            ("[auth] a/b:pull token for r", None),
            ("exporting to image", None),
            ("", None),
        ] {
            assert_eq!(stage_of(name), stage, "{name}");
        }
    }

    #[test]
    fn stages_that_run_something_are_worth_an_image() {
        use NodeKind::{File, Image, Local, Run};
        let graph = graph(&[
            ("[deps 1/2] FROM base", Image, &[]),
            ("[deps 2/2] RUN fetch", Run, &[0]),
            ("[internal] load build context", Local, &[]),
            ("[builder 1/2] COPY . .", File, &[1, 2]),
            ("[builder 2/2] RUN make", Run, &[3]),
            ("[files 1/1] COPY a /a", File, &[0, 2]),
            ("[stage-3 2/4] RUN prepare", Run, &[0]),
            ("[stage-3 3/4] COPY --from=files /a /a", File, &[6, 5]),
            ("[stage-3 4/4] COPY --from=builder /out /out", File, &[7, 4]),
        ]);
        let all = stages(&graph);
        assert_eq!(names(&all), ["deps", "builder", "files", "stage-3"]);
        assert_eq!((all[1].last, all[1].steps.as_slice(), all[1].runs), (4, [3, 4].as_slice(), true));
        assert_eq!(names(&worth_caching(&graph, &all)), ["builder"], "deps lies below builder, and files runs nothing");
        let below = Worth::Below("builder".to_owned());
        assert_eq!(worth(&graph, &all), [below, Worth::Image, Worth::RunsNothing, Worth::Target]);
    }

    #[test]
    fn a_stage_below_the_target_is_in_its_image() {
        use NodeKind::{Image, Run};
        let graph = graph(&[
            ("[base 1/2] FROM x", Image, &[]),
            ("[base 2/2] RUN a", Run, &[0]),
            ("[stage-1 1/1] RUN b", Run, &[1]),
        ]);
        let all = stages(&graph);
        assert!(worth_caching(&graph, &all).is_empty());
        assert_eq!(worth(&graph, &all), [Worth::Below("stage-1".to_owned()), Worth::Target]);
        assert!(stages(&Graph::default()).is_empty());
    }
}
