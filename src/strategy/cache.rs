//! Which cache refs a build asks for, and what it makes of what it finds.

mod imports;

use std::{borrow::Cow, collections::BTreeSet};

use super::{
    Exporter, Facts, PushGroup, Question, Scopes, Stage, cache_tag, merged_tag, output::is_insecure, retry::Trouble,
};
use crate::model::{CacheMode, Capabilities, Failure, FailureKind, Found, Reference, Whose};
use imports::{imports, of_target, several};

/// The most cache refs that are asked for: each is a request or two.
const MOST_CANDIDATES: usize = 48;

/// A cache ref that may exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where.
    pub reference: Reference,
    /// Whose it is.
    pub whose: Whose,
    /// The stage that it holds; `None` where it was not made for one.
    pub stage: Option<String>,
}

/// How the next build is to find what this one makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In the images themselves, one for each stage that is worth it.
    Inline,
    /// As one manifest for all stages.
    Registry,
    /// Not at all.
    Off,
}

impl Mode {
    /// As `--cache` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Registry => "registry",
            Self::Off => "off",
        }
    }
}

/// What a build does about cache, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePlan {
    /// How cache is exported.
    pub mode: Mode,
    /// Why so, for a person.
    pub mode_why: String,
    /// Cache refs to import by digest, best first, with whether their registry speaks plain HTTP: such as do not stand in
    /// one another's way.
    pub imports: Vec<(Reference, bool)>,
    /// Cache refs of one repository, by digest and best first, to be united before the build, which then imports all of
    /// them as one; none where one is all there is, or nothing may be written.
    pub several: Vec<(Reference, bool)>,
    /// Those of them that hold the target's own cache: they know of every step that leads to it.
    pub of_target: Vec<(Reference, bool)>,
    /// Where the target's cache is written; `None` where it is not.
    pub target: Option<Reference>,
    /// Where the caches of other stages are written, by their names: as images, or a registry cache while they are
    /// being made, which the one for all takes the place of in the end.
    pub stages: Vec<(String, Reference)>,
    /// Where the caches of the target and of all stages are written as one: made of their images, or another name for
    /// the target's registry cache, by which builds of other targets find it. `None` where the target's has no other
    /// stage and its image forgets nothing, or is not what the Dockerfile is for.
    pub merged: Option<Reference>,
    /// Why nothing is written; empty where something is.
    pub no_write_why: String,
}

impl CachePlan {
    /// What is imported where several became one, of this digest.
    pub fn united(&self, digest: &str) -> Vec<(Reference, bool)> {
        let united = self.several.first().map(|(first, plain)| (first.with_digest(digest), *plain));
        united.into_iter().chain(self.beside().cloned()).collect()
    }

    /// What is imported beside those that are united.
    pub(super) fn beside(&self) -> impl Iterator<Item = &(Reference, bool)> {
        self.imports.iter().filter(|import| !self.several.contains(import))
    }
}

/// How cache is exported, and why so.
pub fn mode(cache: CacheMode, capabilities: &Capabilities) -> Result<(Mode, String), Failure> {
    let can = capabilities.cache_exports.contains(&"registry");
    let engine = match capabilities.image_store {
        Some(store) => format!("the {} image store", store.as_str()),
        None => capabilities.kind.as_str().to_owned(),
    };
    match cache {
        CacheMode::Off => Ok((Mode::Off, "--cache off".to_owned())),
        CacheMode::Inline => Ok((Mode::Inline, "--cache inline".to_owned())),
        CacheMode::Registry if can => Ok((Mode::Registry, "--cache registry".to_owned())),
        CacheMode::Registry => {
            let what = format!("--cache registry: {engine} of this engine has no registry cache");
            Err(Failure::new(FailureKind::Usage, what)
                .next("leave --cache out: stages are then cached as images of their own"))
        }
        CacheMode::Auto if can => Ok((Mode::Registry, format!("{engine} exports all stages as one cache"))),
        CacheMode::Auto => Ok((
            Mode::Inline,
            format!("{engine} has inline cache only: an image for each stage, and one cache made of them all"),
        )),
    }
}

/// The cache refs to ask for, best first, each once.
pub(super) fn candidates(facts: Facts<'_>, scopes: &Scopes, stages: &[Stage], target: Option<&str>) -> Vec<Candidate> {
    let request = facts.request;
    if request.no_cache {
        return knock(facts, scopes, target).into_iter().collect();
    }
    let named = request.cache_from.iter().map(|r| (r.clone(), Whose::Named, None));
    let mut all: Vec<_> = named.collect();
    if request.cache.mode != CacheMode::Off {
        let own = scopes.own.iter().map(|scope| Whose::Own(scope.clone()));
        let fallbacks = scopes.fallbacks.iter().map(|scope| Whose::Fallback(scope.clone()));
        let mode = mode(facts.request.cache.mode, facts.capabilities).map_or(Mode::Off, |(mode, _)| mode);
        // However many stages there are, the last scope's cache of the target is asked for as well.
        let share = MOST_CANDIDATES / (1 + scopes.fallbacks.len());
        for whose in own.chain(fallbacks) {
            let scope = whose.scope().unwrap_or_default();
            let own = target.map(|target| (cache_ref(facts, scope, target), Some(target.to_owned())));
            // One for all targets is worth asking for where the target is one of several.
            let has_merged = |target: &&str| match mode {
                Mode::Registry => !target.is_empty(),
                _ => !stages.is_empty() || forgets(facts, mode),
            };
            let merged = target.filter(has_merged).map(|target| (merged_ref(facts, mode, scope, target), None));
            let others = stages.iter().map(|stage| (cache_ref(facts, scope, &stage.name), Some(stage.name.clone())));
            let places = own.into_iter().chain(merged).chain(others).take(share.max(1));
            all.extend(places.filter_map(|(reference, stage)| Some((reference?, whose.clone(), stage))));
        }
        if request.cache_from.is_empty() && scopes.reads.is_ok() {
            // The last build of the same tag carries its cache inline. A bare `app` names Docker Hub's official images:
            // nobody's cache is there.
            let tags = request.tags.iter().filter(|tag| !tag.is_official());
            all.extend(tags.map(|tag| (tag.clone(), Whose::Tag, None)));
        }
    }
    let mut found: Vec<Candidate> = Vec::new();
    for (reference, whose, stage) in all {
        match found.iter_mut().find(|known| known.reference == reference) {
            // The caller named what is the build's own: it comes as early, and is still its own.
            Some(known) if known.whose == Whose::Named => (known.whose, known.stage) = (whose, stage),
            Some(_) => {}
            None => found.push(Candidate { reference, whose, stage }),
        }
    }
    found.truncate(MOST_CANDIDATES);
    found
}

/// What a build that reads nothing asks for: whether the registry answers that it will write to.
fn knock(facts: Facts<'_>, scopes: &Scopes, target: Option<&str>) -> Option<Candidate> {
    let request = facts.request;
    let writes = request.may_write() && request.cache.mode != CacheMode::Off && scopes.writes.is_ok();
    let (own, target) = scopes.own.as_ref().filter(|_| writes).zip(target)?;
    let (whose, stage) = (Whose::Own(own.clone()), Some(target.to_owned()));
    Some(Candidate { reference: cache_ref(facts, own, target)?, whose, stage })
}

/// Whether what an image carries lacks what it had from the cache itself, and the one that is made of all images has it.
fn forgets(facts: Facts<'_>, mode: Mode) -> bool {
    mode == Mode::Inline && facts.capabilities.inline_forgets
}

/// Where a stage's cache of a scope lies; `None` where no repository is known.
fn cache_ref(facts: Facts<'_>, scope: &str, stage: &str) -> Option<Reference> {
    let (image, platform) = (image(facts), platform(facts));
    let stage = stage_of_file(facts, stage);
    Some(repository(facts)?.with_tag(&cache_tag(image.as_deref(), scope, &stage, platform.as_deref())))
}

/// Where all caches of a scope lie as one: those for this target, or a registry cache, which is one for all targets;
/// `None` where no repository is known, or there is a record for each of several platforms.
fn merged_ref(facts: Facts<'_>, mode: Mode, scope: &str, target: &str) -> Option<Reference> {
    let (image, platform) = (image(facts), platform(facts));
    let repository = repository(facts).filter(|_| facts.request.platforms.len() <= 1)?;
    let target = stage_of_file(facts, if mode == Mode::Registry { "" } else { target });
    Some(repository.with_tag(&merged_tag(image.as_deref(), scope, &target, platform.as_deref())))
}

/// A stage by a name that it shares with none of another Dockerfile whose images lie in the same repository.
fn stage_of_file<'s>(facts: Facts<'_>, stage: &'s str) -> Cow<'s, str> {
    match facts.request.dockerfile.as_str() {
        "Dockerfile" => stage.into(),
        other => format!("{stage}@{other}").into(),
    }
}

fn repository(facts: Facts<'_>) -> Option<&Reference> {
    facts.request.cache.repository.as_ref().or_else(|| tagged(facts))
}

/// The first tag in a repository of somebody's own.
fn tagged(facts: Facts<'_>) -> Option<&Reference> {
    facts.request.tags.iter().find(|tag| !tag.is_official())
}

/// The repository of the image, where cache lies in another one, in which caches of other images may lie too.
fn image(facts: Facts<'_>) -> Option<String> {
    let cache = facts.request.cache.repository.as_ref()?;
    let image = tagged(facts).or_else(|| facts.request.tags.first())?.name();
    (image != cache.name()).then_some(image)
}

/// The platforms of a build; `None` for the engine's own, which all builds without `--platform` have.
fn platform(facts: Facts<'_>) -> Option<String> {
    let own = facts.capabilities.platforms.first();
    let platforms: BTreeSet<_> = facts.request.platforms.iter().map(String::as_str).collect();
    Some(platforms.into_iter().collect::<Vec<_>>().join("+")).filter(|all| !all.is_empty() && own != Some(all))
}

/// Decides. `found` has an answer for each candidate, in their order; `merged` are the digests of images whose caches
/// are in a merged one that was found.
pub(super) fn cache_plan(
    facts: Facts<'_>,
    scopes: &Scopes,
    question: &Question,
    found: &[(Candidate, Found)],
    merged: &BTreeSet<String>,
) -> Result<CachePlan, Failure> {
    let target = question.target.as_deref();
    let (mode, mode_why) = mode(facts.request.cache.mode, facts.capabilities)?;
    let with_plain = |reference: Reference| {
        let plain = is_insecure(facts, &reference);
        (reference, plain)
    };
    let others = question.stages.split_last().map(|(_, others)| others).unwrap_or_default();
    let read: &[_] = if facts.request.no_cache { &[] } else { found };
    let mut plan = CachePlan {
        mode,
        mode_why,
        imports: imports(question, forgets(facts, mode), read, merged).into_iter().map(with_plain).collect(),
        several: Vec::new(),
        of_target: of_target(target, read).into_iter().map(with_plain).collect(),
        target: None,
        stages: Vec::new(),
        merged: None,
        no_write_why: no_write_why(facts, mode, scopes, target, found).unwrap_or_default(),
    };
    if let (true, Some(own), Some(target)) = (plan.no_write_why.is_empty(), &scopes.own, target) {
        plan.target = cache_ref(facts, own, target);
        plan.several = plan.target.iter().flat_map(|place| several(place, read, merged)).map(with_plain).collect();
        let place = |stage: &Stage| Some((stage.name.clone(), cache_ref(facts, own, &stage.name)?));
        plan.stages = others.iter().filter_map(place).collect();
        let is_for_all = mode == Mode::Inline || facts.request.target.is_none();
        let has_others = !others.is_empty() || forgets(facts, mode);
        plan.merged = merged_ref(facts, mode, own, target).filter(|_| is_for_all && has_others);
    }
    Ok(plan)
}

fn no_write_why(
    facts: Facts<'_>,
    mode: Mode,
    scopes: &Scopes,
    target: Option<&str>,
    found: &[(Candidate, Found)],
) -> Option<String> {
    let request = facts.request;
    if mode == Mode::Off {
        return Some("--cache off".to_owned());
    }
    if let Err(why) = &scopes.writes {
        return Some(why.clone());
    }
    if scopes.own.is_none() {
        return Some("no branch is known (--cache-scope)".to_owned());
    }
    if !request.push && request.cache.repository.is_none() {
        return Some("without --push or --cache-repo nothing is written to a registry".to_owned());
    }
    if target.is_none() {
        return Some("the engine does not tell the stages of this build".to_owned());
    }
    if repository(facts).is_none() {
        return Some("the image has no repository of its own (-t REGISTRY/NAME, or --cache-repo)".to_owned());
    }
    // What cannot be read now would only keep the build waiting when it is to be written.
    let own = |(candidate, _): &&(Candidate, Found)| matches!(candidate.whose, Whose::Own(_));
    let silent = found.iter().filter(own).find_map(|(_, found)| match found {
        Found::Failed(why) => Some(why),
        _ => None,
    });
    silent.map(|why| format!("its registry did not answer: {why}"))
}

/// Whether a registry that refuses this ref may do so because the repository is not there yet: some do not tell one from
/// the other, and the build is about to make it.
pub fn may_be_new(place: &Reference, pushed: &[PushGroup], trouble: Trouble) -> bool {
    let refused = matches!(trouble, Trouble::Denied | Trouble::Unauthorized);
    refused && pushed.iter().any(|group| group.first.name() == place.name())
}

/// Whether the engine will not tell the stages of this build, and can write what they come to all the same.
pub fn is_blind(facts: Facts<'_>) -> bool {
    let mode = mode(facts.request.cache.mode, facts.capabilities);
    // An older BuildKit does not know how to go on where the cache cannot be written.
    let can = facts.capabilities.cache_manifests && mode.is_ok_and(|(mode, _)| mode == Mode::Registry);
    can && facts.request.platforms.len() > 1
}

/// The same, and the build goes on where it fails. `BuildKit` knows this from 0.11 on.
pub fn if_possible(mut exporter: Exporter) -> Exporter {
    exporter.attrs.insert("ignore-error".to_owned(), "true".to_owned());
    exporter
}

/// The exporter that writes all stages' cache to this ref.
pub fn registry_cache(facts: Facts<'_>, reference: &Reference) -> Exporter {
    let mut attrs = vec![
        ("ref", reference.to_string()),
        ("mode", "max".to_owned()),
        ("oci-mediatypes", "true".to_owned()),
        // An ordinary manifest, which registries take that refuse an index of blobs.
        ("image-manifest", "true".to_owned()),
    ];
    if is_insecure(facts, reference) {
        attrs.push(("registry.insecure", "true".to_owned()));
    }
    Exporter { kind: "registry", attrs: attrs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() }
}

#[cfg(test)]
mod tests;
