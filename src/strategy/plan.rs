//! The one value that says how a build is done, and why.

use std::collections::BTreeSet;

use super::{
    CachePlan, Candidate, Facts, Output, Scopes, Stage, cache_plan, candidates, is_blind, output, stages, worth_caching,
};
use crate::model::{Failure, Found, Graph};

/// How a build is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where its result goes.
    pub output: Output,
    /// Whose cache it reads and writes.
    pub scopes: Scopes,
    /// Its stages that are worth caching; the last one is the target's.
    pub stages: Vec<Stage>,
    /// What the registries said of the cache refs that may exist; nothing where none is to be read.
    pub found: Vec<(Candidate, Found)>,
    /// What it does about cache.
    pub cache: CachePlan,
}

/// What was learnt from the Dockerfile, and has to be asked of registries before there can be a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The stages that are worth caching; the last one is the target's.
    pub stages: Vec<Stage>,
    /// The name of the target's stage; `None` where the engine does not tell, and no cache can be written without it.
    pub target: Option<String>,
    /// Cache refs that may exist, best first.
    pub candidates: Vec<Candidate>,
}

/// What to ask the registries. `graph` is `None` where the engine does not tell what the build is made of.
pub fn question(facts: Facts<'_>, scopes: &Scopes, graph: Option<&Graph>) -> Question {
    let all = graph.map(stages).unwrap_or_default();
    let mut worth = graph.map(|graph| worth_caching(graph, &all)).unwrap_or_default();
    let named = || facts.request.target.clone().unwrap_or_default();
    let target = graph.map(|_| all.last().map_or_else(named, |stage| stage.name.clone()));
    let target = target.or_else(|| is_blind(facts).then(named));
    let candidates = candidates(facts, scopes, &worth, target.as_deref());
    worth.extend(all.last().cloned());
    Question { stages: worth, target, candidates }
}

/// Decides. `found` has what the registries said of the question's candidates, in their order; `merged` are the digests
/// of images that [`merged_images`](super::merged_images) names in what was found.
pub fn plan(
    facts: Facts<'_>,
    scopes: Scopes,
    question: Question,
    found: Vec<(Candidate, Found)>,
    merged: &BTreeSet<String>,
) -> Result<Plan, Failure> {
    let output = output(facts)?;
    let cache = cache_plan(facts, &scopes, &question, &found, merged)?;
    let found = if facts.request.no_cache { Vec::new() } else { found };
    Ok(Plan { output, scopes, stages: question.stages, found, cache })
}
