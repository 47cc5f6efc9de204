//! What a build would do about cache, without doing it: the Dockerfile is read and registries are asked, no more.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::{
    agent::Inner,
    build::{Run, Stop, elapsed_ms, new_id},
    prepare::Begun,
    remote,
};
use crate::{
    engine::{Outer, Solver, View},
    model::{BuildRequest, Event, Failure, Report},
    strategy,
};

/// The call Plan.
pub(super) async fn plan(
    agent: Arc<Inner>,
    request: BuildRequest,
    events: mpsc::Sender<Event>,
) -> Result<Report, Failure> {
    let since = Instant::now();
    let mut begun = Begun::new(&agent, new_id(), &request, &events).await?;
    let request = strategy::given(request, &begun.capabilities)?;
    let request = begun.fetch(request, &events).await?;
    tracing::info!(plan = begun.id, ?request, "plan");
    let run = begun.run(&agent, &request, &events);
    run.warn_of_secrets().await;
    let report = begun.while_lent(run.plan()).await;
    let report = report.map_err(|failure| remote::explained(failure, request.remote.as_deref()))?;
    let tags = request.tags.iter().map(ToString::to_string).collect();
    Ok(Report { tags, elapsed_ms: elapsed_ms(since), ..report })
}

impl Run<'_> {
    /// Of the report it fills the explanation.
    async fn plan(&self) -> Result<Report, Failure> {
        let work = Box::pin(async {
            let solver = self.agent.engine.solver(self.lent).await?;
            // Steps of the engine's own, such as loading the Dockerfile, are not worth a person's time here.
            let (unheard, _) = mpsc::channel(1);
            self.watched(&solver, &View::default(), self.id, &unheard, Box::pin(self.read(&solver))).await
        });
        self.agent.engine.while_it_answers(work).await
    }

    async fn read(&self, solver: &Solver) -> Result<Report, Stop> {
        let outer = Outer {
            exporter: None,
            cache_exports: Vec::new(),
            entitlements: &self.output.entitlements,
            platforms: &self.request.platforms,
            attestations: None,
            internal: true,
        };
        let solve = solver.start(self.id, &outer)?;
        let made = match solve.dockerfile(self.request, &[]).await {
            Ok(made) => made,
            // The end of the solve has the reason.
            Err(fault) => return Ok(solve.export(Err(fault)).await.map(|_| Report::default())?),
        };
        let prepared = self.prepare(Some(&made)).await?;
        Ok(Report { explanation: Some(Box::new(prepared.explanation)), ..Report::default() })
    }
}
