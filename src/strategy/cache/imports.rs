//! Which of the caches that were found a build imports: all of them as one, or such as do not stand in one another's way.
//!
//! What two imports know of the same step stands in one another's way: `BuildKit` keeps what it happens to hear first.
//! So they are united before the build, where it may write to the repository. Where it may not, it imports one scope's
//! cache. An image's inline cache knows the keys of other stages' steps without their layers, and may hide those that
//! another import has: where the scope's registry cache has all of them, its images stay out.

use std::collections::BTreeSet;

use super::{Candidate, Question};
use crate::model::{CacheKind, Found, Reference, Whose};

/// The caches that lie in this repository, by digest, best first, each once: what is to be united. None where they are
/// not several. What a merged one has is left out.
pub(super) fn several(
    repository: &Reference,
    found: &[(Candidate, Found)],
    merged: &BTreeSet<String>,
) -> Vec<Reference> {
    let of_scope = found.iter().any(|(candidate, found)| is_cache(found) && candidate.whose.scope().is_some());
    let wanted = |(candidate, found): &&(Candidate, Found)| {
        let Found::Cache { digest, kind, .. } = found else { return false };
        let is_in_another = *kind == CacheKind::Inline && merged.contains(digest);
        let is_wanted = candidate.whose != Whose::Tag || !of_scope;
        candidate.reference.name() == repository.name() && is_wanted && !is_in_another
    };
    let several = references(found.iter().filter(wanted));
    if several.len() > 1 { several } else { Vec::new() }
}

/// What is imported where nothing can be united: by digest, best first, each once. An image that `forgets` knows keys of
/// its own steps without their layers.
pub(super) fn imports(
    question: &Question,
    forgets: bool,
    found: &[(Candidate, Found)],
    merged: &BTreeSet<String>,
) -> Vec<Reference> {
    let target = question.target.as_deref();
    let scope = scope(target, found);
    let of_scope = |candidate: &Candidate| scope.is_some() && candidate.whose.scope() == scope;
    let is_whole = |(candidate, found): &(Candidate, Found)| is_whole(found) && of_scope(candidate);
    let has_whole = found.iter().any(is_whole);
    let is_of_target = |candidate: &Candidate| candidate.stage.as_deref() == target;
    let has_targets = found.iter().any(|answer| is_whole(answer) && is_of_target(&answer.0));
    // A target that has all layers itself hides none.
    let alone = question.stages.len() <= 1 && !forgets;
    let wanted = |(candidate, found): &&(Candidate, Found)| {
        let Found::Cache { digest, kind, .. } = found else { return false };
        match (&candidate.whose, kind) {
            (Whose::Named, _) => true,
            (Whose::Tag, _) => scope.is_none(),
            (_, CacheKind::Registry) => of_scope(candidate) && (is_of_target(candidate) || !has_targets),
            (_, CacheKind::Inline) if !has_whole => of_scope(candidate),
            // A build that failed halfway has left what its stages had come to.
            (Whose::Own(_), CacheKind::Inline) => (alone || !is_of_target(candidate)) && !merged.contains(digest),
            (Whose::Fallback(_), CacheKind::Inline) => alone && of_scope(candidate),
        }
    };
    references(found.iter().filter(wanted))
}

/// The scope that a build imports from where it imports one alone: the best one that has cache of all steps, else the
/// best one that has any.
fn scope<'f>(target: Option<&str>, found: &'f [(Candidate, Found)]) -> Option<&'f str> {
    let has_all = |(candidate, found): &&(Candidate, Found)| {
        let of_target = candidate.stage.is_some() && candidate.stage.as_deref() == target;
        is_whole(found) || (of_target && is_cache(found))
    };
    let has_any = |(_, found): &&(Candidate, Found)| is_cache(found);
    let first = |wanted: &dyn Fn(&&(Candidate, Found)) -> bool| {
        found.iter().filter(|answer| wanted(answer)).find_map(|(candidate, _)| candidate.whose.scope())
    };
    first(&has_all).or_else(|| first(&has_any))
}

fn is_cache(found: &Found) -> bool {
    matches!(found, Found::Cache { .. })
}

fn is_whole(found: &Found) -> bool {
    matches!(found, Found::Cache { kind: CacheKind::Registry, .. })
}

/// Those that hold the target's own cache, of the same scope.
pub(super) fn of_target(target: Option<&str>, found: &[(Candidate, Found)]) -> Vec<Reference> {
    let scope = scope(target, found);
    let of_target = |(candidate, _): &&(Candidate, Found)| {
        let named = candidate.whose == Whose::Named || (scope.is_none() && candidate.whose == Whose::Tag);
        named || (scope.is_some() && candidate.whose.scope() == scope && candidate.stage.as_deref() == target)
    };
    references(found.iter().filter(of_target))
}

fn references<'a>(found: impl Iterator<Item = &'a (Candidate, Found)>) -> Vec<Reference> {
    let mut known = BTreeSet::new();
    let mut references = Vec::new();
    for (candidate, found) in found {
        if let Found::Cache { digest, .. } = found
            && known.insert(digest)
        {
            references.push(candidate.reference.with_digest(digest));
        }
    }
    references
}
