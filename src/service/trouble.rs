//! What a registry did to a solve, and whether it is worth another one.

use super::{build::Run, prepare::Prepared};
use crate::{
    model::{Failure, FailureKind, Reference},
    registry,
    session::methods::UPLOADS,
    strategy::{PushMechanism, retry::Trouble},
};

impl Run<'_> {
    /// The tag whose push within the solve failed.
    pub(super) fn pushed_to(&self, failure: &Failure) -> Option<&Reference> {
        let pushing = self.output.push == PushMechanism::InSolve && failure.what.contains("push");
        let tags = || self.output.groups.iter().map(|group| &group.first);
        let named = || tags().find(|tag| failure.what.contains(tag.registry()));
        (pushing && failure.kind == FailureKind::Registry).then(|| named().or_else(|| tags().next())).flatten()
    }

    /// Whether a registry does not give a layer that a cache which this build reads has. The engine asks for it when a step
    /// needs it, which is too late for it to run the step that made it.
    pub(super) fn lacks_cache(&self, failure: &Failure) -> bool {
        let layers = |prepared: &Prepared| {
            let reads = !prepared.imports().is_empty();
            reads && prepared.probed.layers().any(|layer| failure.what.contains(layer))
        };
        failure.kind == FailureKind::Registry && !self.is_read_once() && self.prepared.get().is_some_and(layers)
    }

    /// Whether the context can be read once, and was.
    fn is_read_once(&self) -> bool {
        self.request.remote.as_ref().is_some_and(|remote| remote.starts_with(UPLOADS))
    }

    /// Only what BuildKit does not try again by itself is worth another solve: it knows no 429, and takes a refused
    /// connection or manifest at its word.
    pub(super) fn trouble(&self, failure: &Failure) -> Trouble {
        if self.is_read_once() {
            return Trouble::Other;
        }
        match self.pushed_to(failure).map(|_| Trouble::of_text(&failure.what)) {
            Some(passing @ (Trouble::RateLimited | Trouble::Raced)) => passing,
            Some(Trouble::Unreachable) if failure.what.contains("connection refused") => Trouble::Unreachable,
            _ => Trouble::Other,
        }
    }

    /// With what a person can do about a push that failed.
    pub(super) fn advised(&self, failure: Failure) -> Failure {
        let Some(tag) = self.pushed_to(&failure) else { return failure };
        let advice = Failure::from(registry::Error::of_engine(tag, "push", &failure.what, None)).next;
        failure.next(advice)
    }
}
