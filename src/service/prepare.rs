//! What a build and its plan have in common: all that is found out before anything is done.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{OnceCell, mpsc};

use super::{
    agent::Inner,
    build::Run,
    probe::{Probed, probe},
    pulling::pulling,
    republish,
};
use crate::{
    engine::{Definition, Made},
    git::Checkout,
    model::{BuildRequest, CacheOutcome, Capabilities, Event, Explanation, Failure, FailureKind, Reference, Report},
    session::Lent,
    strategy::{self, Facts, Output, Plan},
};

/// What is known before the Dockerfile is read.
pub(super) struct Begun {
    pub(super) id: String,
    pub(super) lent: Lent,
    pub(super) capabilities: Arc<Capabilities>,
    pub(super) output: Output,
    /// Git contexts that the agent fetched.
    pub(super) checkouts: Vec<Checkout>,
}

/// What is known once the Dockerfile was read and the registries were asked.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) probed: Probed,
    pub(super) explanation: Explanation,
    /// What the build imports, once that was united.
    imports: OnceCell<Vec<(Reference, bool)>>,
    /// Whether what was found proved to be of no use.
    forgotten: AtomicBool,
}

impl Begun {
    /// Waits for session and engine, and refuses what cannot be done.
    pub(super) async fn new(
        agent: &Inner,
        id: String,
        request: &BuildRequest,
        events: &mpsc::Sender<Event>,
    ) -> Result<Self, Failure> {
        let lent = agent.sessions.find(&request.session).await?;
        let lent = pulling(agent, request, lent, events).await;
        let capabilities = agent.engine_within(request.wait, events).await?;
        let output = strategy::output(agent.facts(request, &capabilities))?;
        if request.subrequest.is_none() {
            strategy::mode(request.cache.mode, &capabilities)?;
        }
        Ok(Self { id, lent, capabilities, output, checkouts: Vec::new() })
    }

    pub(super) fn run<'a>(
        &'a self,
        agent: &'a Inner,
        request: &'a BuildRequest,
        events: &'a mpsc::Sender<Event>,
    ) -> Run<'a> {
        let Self { id, lent, capabilities, output, .. } = self;
        Run { agent, id, request, capabilities, output, lent, events, prepared: OnceCell::new() }
    }

    /// Does this while the client is there.
    pub(super) async fn while_lent<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            done = work => done,
            () = self.lent.ended() => Err(gone()),
        }
    }
}

/// Why nothing more is done for a client that has left.
pub(super) fn gone() -> Failure {
    Failure::new(FailureKind::Cancelled, "the client that lent the build context is gone")
}

impl Prepared {
    /// What the build imports: united first, where it is several.
    pub(super) async fn imports_for(&self, run: &Run<'_>) -> &[(Reference, bool)] {
        if self.is_forgotten() { &[] } else { self.imports.get_or_init(|| run.unite(self)).await }
    }

    /// What the build imports.
    pub(super) fn imports(&self) -> &[(Reference, bool)] {
        if self.is_forgotten() { &[] } else { self.imports.get().unwrap_or(&self.plan.cache.imports) }
    }

    /// From now on nothing is imported.
    pub(super) fn forget(&self) {
        self.forgotten.store(true, Ordering::Relaxed);
    }

    fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Whether a look may find that the cached image is the result.
    pub(super) fn is_worth_a_look(&self) -> bool {
        self.explanation.retag.possible && !self.is_forgotten()
    }

    /// The report with what was done about cache, and what came of it.
    pub(super) fn explain(&self, report: Report, republished: bool, why: String) -> Report {
        let outcome = CacheOutcome { republished, why, written: Vec::new() };
        Report { explanation: Some(Box::new(self.explanation.clone().with(outcome))), ..report }
    }
}

impl Run<'_> {
    /// The first platform that is built for.
    pub(super) fn platform(&self) -> &str {
        let platform = self.request.platforms.first().or(self.capabilities.platforms.first());
        platform.map_or("linux/amd64", String::as_str)
    }

    /// Asks the registries, and decides. `made` is what the Dockerfile says, where that was asked for.
    pub(super) async fn prepare(&self, made: Option<&Made>) -> Result<Prepared, Failure> {
        let facts = self.facts();
        let graph = made.and_then(|made| made.definition.as_ref()).map(Definition::graph);
        let scopes = strategy::scopes(&self.request.cache);
        let question = strategy::question(facts, &scopes, graph);
        let candidates = question.candidates.clone();
        let pushed = &self.output.groups;
        let mut probed = probe(self.agent, self.lent, candidates, self.capabilities, self.platform(), pushed).await;
        let wanted = made.filter(|_| graph.is_some()).and_then(Made::config);
        if let Some(wanted) = wanted {
            probed.without_other_bases(wanted, question.target.as_deref());
        }
        for warning in std::mem::take(&mut probed.warnings) {
            self.notice(true, warning).await;
        }
        let plan = strategy::plan(facts, scopes, question, probed.found.clone(), &probed.merged)?;
        tracing::debug!(build = self.id, ?plan, "plan");
        let retag = strategy::retag(facts, self.output, wanted, &republish::cached_images(&plan, &probed));
        let explanation = strategy::explain(facts, &plan, graph, retag);
        Ok(Prepared { plan, probed, explanation, imports: OnceCell::new(), forgotten: AtomicBool::new(false) })
    }
}

impl Inner {
    /// What is known before a build begins.
    pub(super) fn facts<'a>(&'a self, request: &'a BuildRequest, capabilities: &'a Capabilities) -> Facts<'a> {
        Facts {
            request,
            capabilities,
            allowed: &self.settings.allow_entitlement,
            insecure: &self.settings.insecure_registry,
        }
    }
}
