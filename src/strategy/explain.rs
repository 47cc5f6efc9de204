//! Says what a plan does, and why, for a person.

use std::time::SystemTime;

use super::{CachePlan, Candidate, Facts, Mode, Output, Plan, PushMechanism, Scopes, Worth, stages, worth};
use crate::model::{CacheMode, CacheRef, Capabilities, Explanation, Export, Found, Graph, Retag, Source, StageCache};

/// What the plan does, and why. `graph` is `None` where the engine does not tell what the build is made of.
pub fn explain(facts: Facts<'_>, plan: &Plan, graph: Option<&Graph>, retag: Retag) -> Explanation {
    let Plan { output, scopes, found, cache, .. } = plan;
    let cache_ref = |(candidate, found): &(Candidate, Found)| CacheRef {
        reference: candidate.reference.to_string(),
        whose: candidate.whose.clone(),
        stage: candidate.stage.clone(),
        found: found.clone(),
    };
    let stage_refs = cache.stages.iter().map(|(_, place)| place);
    Explanation {
        engine: engine(facts.capabilities),
        ci: scopes.ci.unwrap_or_default().to_owned(),
        scope: scopes.own.clone(),
        fallbacks: scopes.fallbacks.clone(),
        mode: cache.mode.as_str().to_owned(),
        mode_why: cache.mode_why.clone(),
        refs: found.iter().map(cache_ref).collect(),
        no_read_why: if found.is_empty() { no_read_why(facts, scopes, graph) } else { String::new() },
        imports: imports(cache),
        stages: graph.map(|graph| stage_caches(plan, graph)).unwrap_or_default(),
        writes: stage_refs.chain(&cache.target).chain(&cache.merged).map(ToString::to_string).collect(),
        no_write_why: cache.no_write_why.clone(),
        push: push(facts, output, &retag),
        retag,
        notes: scopes.notes.iter().chain(&output.notes).cloned().collect(),
        outcome: None,
    }
}

/// What is read, as one line; `None` where nothing is.
pub fn reading(explanation: &Explanation, now: SystemTime) -> Option<String> {
    let source = |Source { name, age }: Source| match age {
        Some(age) => format!("{name} ({age})"),
        None => name,
    };
    let sources: Vec<_> = explanation.sources(now).into_iter().map(source).collect();
    (!sources.is_empty()).then(|| format!("cache: reading {}", sources.join(", ")))
}

/// What is read, several that are united each by itself.
fn imports(cache: &CachePlan) -> Vec<String> {
    cache.several.iter().chain(cache.beside()).map(|(reference, _)| reference.to_string()).collect()
}

fn engine(capabilities: &Capabilities) -> String {
    let Capabilities { kind, version, image_store, .. } = capabilities;
    let store = image_store.map(|store| format!(", {} image store", store.as_str())).unwrap_or_default();
    format!("{} {version}{store}", kind.as_str())
}

fn no_read_why(facts: Facts<'_>, scopes: &Scopes, graph: Option<&Graph>) -> String {
    let request = facts.request;
    let named = request.cache.repository.is_some() || request.tags.iter().any(|tag| !tag.is_official());
    if request.no_cache {
        "--no-cache runs every step"
    } else if request.cache.mode == CacheMode::Off {
        "--cache off"
    } else if let Err(why) = &scopes.reads {
        why
    } else if !named {
        "the image has no repository of its own that could hold cache (-t REGISTRY/NAME, or --cache-repo)"
    } else if graph.is_none() {
        "the engine does not tell the stages of this build"
    } else {
        "no branch is known whose cache it could be (--cache-scope)"
    }
    .to_owned()
}

fn stage_caches(plan: &Plan, graph: &Graph) -> Vec<StageCache> {
    let all = stages(graph);
    let worth = worth(graph, &all);
    let cache = |(stage, worth): (&super::Stage, Worth)| {
        let (place, why) = stage_cache(plan, &stage.name, &worth);
        StageCache {
            name: stage.name.clone(),
            steps: stage.steps.len().try_into().unwrap_or(u32::MAX),
            target: worth == Worth::Target,
            place,
            why,
        }
    };
    all.iter().zip(worth).map(cache).collect()
}

/// Where the cache of a stage is written, and why so.
fn stage_cache(plan: &Plan, name: &str, worth: &Worth) -> (Option<String>, String) {
    let cache = &plan.cache;
    let Some(target) = &cache.target else {
        return (None, "not written".to_owned());
    };
    if cache.mode == Mode::Registry {
        return (Some(target.to_string()), "written with all stages".to_owned());
    }
    match worth {
        Worth::Target => (Some(target.to_string()), "the image that is built carries its cache".to_owned()),
        Worth::Image => {
            let place = cache.stages.iter().find(|(of, _)| of == name).map(|(_, place)| place.to_string());
            (place, "an image of its own: it runs something, and lies below no other".to_owned())
        }
        Worth::Below(upper) if plan.stages.last().is_some_and(|last| last.name == *upper) => {
            (Some(target.to_string()), "lies below the target, whose image has it".to_owned())
        }
        Worth::Below(upper) => {
            let place = cache.stages.iter().find(|(of, _)| of == upper).map(|(_, place)| place.to_string());
            (place, format!("lies below {upper}, whose image has it"))
        }
        Worth::RunsNothing => (None, "not written: it runs nothing, and is as quickly made anew".to_owned()),
    }
}

fn push(facts: Facts<'_>, output: &Output, retag: &Retag) -> String {
    let load = facts.request.load;
    let how = match output.push {
        PushMechanism::None if facts.request.export != Export::Image && output.exporter.is_some() => {
            "no: the client takes an archive"
        }
        PushMechanism::None if output.exporter.is_some() => "no: the image stays in the engine",
        PushMechanism::None => "no: the result stays in the build cache of the engine",
        PushMechanism::InSolve if load => "by the engine while it exports; the image stays in it as well",
        PushMechanism::InSolve => "by the engine while it exports; no layer has to be downloaded for it",
        PushMechanism::EngineApi if retag.possible => {
            "if every step is cached, by giving an image that is there the new tags (retag); else through the engine's API"
        }
        PushMechanism::EngineApi => "through the engine's API, once the image lies in its store",
    };
    let further: usize = output.groups.iter().map(|group| group.rest.len()).sum();
    match (output.push, further) {
        (PushMechanism::None, _) | (_, 0) => how.to_owned(),
        (_, 1) => format!("{how}; 1 further tag by manifest PUT"),
        (_, many) => format!("{how}; {many} further tags by manifest PUT"),
    }
}

#[cfg(test)]
mod tests;
