//! Builds whose stages the engine does not tell: what their steps come to is written in the same solve, as one cache.

use super::{
    build::{Run, Stop},
    prepare::Prepared,
};
use crate::{
    engine::Solver,
    model::{Failure, Found, Reference, Report},
    strategy::{self, registry_cache},
};

impl Run<'_> {
    /// Builds with the cache of earlier builds for the same platforms, and exports its own.
    pub(super) async fn build_blindly(&self, solver: &Solver, id: &str) -> Result<Report, Stop> {
        let prepared = self.prepared.get_or_try_init(|| self.prepare_to_build(None)).await?;
        let place = prepared.plan.cache.target.as_ref();
        let mut outer = self.outer();
        outer.cache_exports.extend(place.map(|place| strategy::if_possible(registry_cache(self.facts(), place))));
        let solve = solver.start(id, &outer)?;
        let made = solve.dockerfile(self.request, prepared.imports_for(self).await).await;
        let report = self.export(solve, made).await?;
        let mut report = prepared.explain(report, false, prepared.explanation.retag.why.clone());
        if let Some(place) = place
            && let Some(outcome) = report.explanation.as_mut().and_then(|explanation| explanation.outcome.as_mut())
        {
            match self.is_new(prepared, place).await {
                Ok(true) => outcome.written.push(place.to_string()),
                Ok(false) => {}
                Err(failure) => {
                    self.notice(true, format!("cache: {place} was not written: {}", failure.what)).await;
                }
            }
        }
        Ok(report)
    }

    /// Whether something else lies there than was found before the build. The engine does not tell what became of a
    /// cache that may fail.
    async fn is_new(&self, prepared: &Prepared, place: &Reference) -> Result<bool, Failure> {
        let credential = self.pusher().credential(place).await?;
        let now = self.agent.registry.digest(place, &credential).await?;
        let was = prepared.plan.found.iter().any(|(candidate, found)| {
            candidate.reference == *place && matches!(found, Found::Cache { digest, .. } if *digest == now)
        });
        Ok(!was)
    }
}
