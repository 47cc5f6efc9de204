//! Which of the caches that were found a build imports: such as do not stand in one another's way.
//!
//! An image's inline cache knows the keys of other stages' steps without their layers, and may hide those that another
//! import has. So where a scope's registry cache has all of them, its images stay out.

use std::collections::BTreeSet;

use super::{Candidate, Question};
use crate::model::{CacheKind, Found, Reference, Whose};

/// By digest, best first, each once.
pub(super) fn imports(question: &Question, found: &[(Candidate, Found)], merged: &BTreeSet<String>) -> Vec<Reference> {
    let whole = |(candidate, found): &&(Candidate, Found)| {
        matches!(found, Found::Cache { kind: CacheKind::Registry, .. }) && candidate.whose.scope().is_some()
    };
    if !found.iter().any(|answer| whole(&answer)) {
        return references(found.iter());
    }
    // A target that has all layers itself hides none.
    let alone = question.stages.len() <= 1;
    let target = question.target.as_deref();
    let wanted = |(candidate, found): &&(Candidate, Found)| {
        let Found::Cache { digest, kind, .. } = found else { return false };
        match (&candidate.whose, kind) {
            (Whose::Named, _) | (Whose::Own(_) | Whose::Fallback(_), CacheKind::Registry) => true,
            // A build that failed halfway has left what its stages had come to.
            (Whose::Own(_), CacheKind::Inline) => {
                (alone || candidate.stage.as_deref() != target) && !merged.contains(digest)
            }
            (Whose::Fallback(_), CacheKind::Inline) => alone,
            (Whose::Tag, _) => false,
        }
    };
    references(found.iter().filter(wanted))
}

/// Those that hold the target's own cache.
pub(super) fn of_target(target: Option<&str>, found: &[(Candidate, Found)]) -> Vec<Reference> {
    let of_target = |(candidate, _): &&(Candidate, Found)| {
        !candidate.is_merged() && (candidate.stage.is_none() || candidate.stage.as_deref() == target)
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
