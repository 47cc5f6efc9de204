//! What the frontend is asked in place of a build: the Dockerfile is read, and nothing is done.

use super::build::{Run, Stop};
use crate::{
    engine::{Outer, Solver, View},
    model::{Answer, Failure, FailureKind, Subrequest},
};

impl Run<'_> {
    /// Asks the frontend.
    pub(super) async fn answer(&self, subrequest: Subrequest) -> Result<Answer, Failure> {
        let work = Box::pin(async {
            let solver = self.agent.engine.solver(self.lent).await?;
            let view = View::default();
            let asked = Box::pin(self.asked(&solver, subrequest));
            self.watched(&solver, &view, self.id, self.events, asked).await
        });
        self.agent.engine.while_it_answers(work).await
    }

    async fn asked(&self, solver: &Solver, subrequest: Subrequest) -> Result<Answer, Stop> {
        let entitlements = &self.output.entitlements;
        let outer = Outer { entitlements, platforms: &self.request.platforms, internal: true, ..Outer::default() };
        let solve = solver.start(self.id, &outer)?;
        match solve.ask(self.request, subrequest).await {
            Ok(Some(answer)) => {
                solve.stop().await;
                Ok(answer)
            }
            Ok(None) => Err(cannot(subrequest).into()),
            Err(fault) if fault.is_unsupported() => Err(cannot(subrequest).into()),
            // The end of the solve has the reason.
            Err(fault) => Err(match solve.export(Err(fault)).await {
                Err(fault) => fault.into(),
                Ok(_) => cannot(subrequest).into(),
            }),
        }
    }
}

fn cannot(subrequest: Subrequest) -> Failure {
    let (name, since) = match subrequest {
        Subrequest::Lint => ("check", "Docker 27.0, or a BuildKit of 0.15"),
        Subrequest::Outline => ("outline", "Docker 23.0, or a BuildKit of 0.11"),
        Subrequest::Targets => ("targets", "Docker 23.0, or a BuildKit of 0.11"),
    };
    Failure::new(FailureKind::Usage, format!("--call {name}: the Dockerfile frontend of this engine cannot tell it"))
        .next(format!("use {since} or later, or name a newer frontend in the Dockerfile: # syntax=docker/dockerfile:1"))
}
