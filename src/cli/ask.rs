//! What `build` and `plan` ask of the agent.

use std::{collections::BTreeMap, env::VarError, time::Duration};

use super::{
    args::{Build, Connection, Network},
    cause, ci,
    connect::Agent,
    context::Context,
    export::{Destination, Place, Taken},
    follow, lend, metadata,
    named::Named,
    pool::Route,
    progress::{Choice, Progress},
    usage,
};
use crate::{
    model::{self, BuildRequest, Failure, Report, SessionId},
    session::{Secrets, SshAgents},
};

/// Which call it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Build,
    Plan,
}

/// A request, with what the client serves for it.
pub(super) struct Asked {
    context: Context,
    /// Session and time to wait come later.
    request: BuildRequest,
    lent: (Secrets, SshAgents),
    /// What takes an export.
    place: Option<Place>,
    progress: Choice,
    /// What a person should know first, a line each.
    notices: Vec<String>,
}

impl Asked {
    /// Reads it from the command line.
    pub(super) fn new(args: Build) -> Result<Self, Failure> {
        let progress = args.display();
        let subrequest = args.call.asked().subrequest;
        let Destination { export, options, place, push, load, names } = match subrequest {
            None => Destination::of(&args)?,
            // Nothing is made.
            Some(_) => Destination::default(),
        };
        let named = Named::find(args.contexts)?;
        let context = Context::find(&args.context, args.file.as_deref())?.with(named);
        let tags: Vec<_> = args.tags.into_iter().chain(names).collect();
        if push && tags.is_empty() {
            return Err(usage("--push without a tag: there is no name to push to")
                .next("name the image with -t REGISTRY/REPOSITORY:TAG"));
        }
        let notices = args.compat.notices();
        let build_args = build_args(args.build_args)?;
        let (annotations, attestations) = match subrequest {
            None => args.described.request(),
            Some(_) => Default::default(),
        };
        let lent = args.lent.open()?;
        let (cache_from, cache) = args.cache.request(ci::variables())?;
        let variable = std::env::var(metadata::PROVENANCE).unwrap_or_default();
        let request = BuildRequest {
            session: SessionId(String::new()),
            dockerfile: context.dockerfile.name.clone(),
            remote: context.remote.clone(),
            dockerfile_lent: context.remote.is_some() && context.dockerfile.directory.is_some(),
            contexts: context.named.values.clone(),
            tags,
            target: args.target,
            build_args,
            labels: args.labels.into_iter().collect(),
            no_cache: args.no_cache,
            no_cache_stages: args.no_cache_stages,
            pull: args.pull,
            platforms: args.platforms,
            network: match args.network {
                Network::Default => model::Network::Default,
                Network::None => model::Network::None,
                Network::Host => model::Network::Host,
            },
            run: args.run.request(),
            entitlements: args.entitlements,
            cache_from,
            cache,
            export,
            export_options: options,
            annotations,
            attestations,
            subrequest,
            push,
            load,
            raw_status: progress.raw(),
            provenance: args.metadata_file.and_then(|_| metadata::provenance(&variable)),
            wait: Duration::ZERO,
        };
        Ok(Self { context, request, lent, place, progress, notices })
    }

    /// Tells this too, before anything is asked.
    pub(super) fn note(&mut self, notice: &str) {
        self.notices.push(notice.to_owned());
    }

    /// Asks the agent, and follows the call to its end.
    pub(super) async fn ask(mut self, connection: &Connection, call: Call) -> Result<Report, Failure> {
        let mut progress = Progress::new(&self.progress);
        for notice in &self.notices {
            progress.note(notice.clone());
        }
        let queues = call == Call::Build && self.request.subrequest.is_none();
        let mut route = Route::new(connection, self.request.project(), queues)?;
        loop {
            let agent = route.next(&mut progress).await?;
            let (failure, spent) = match self.ask_one(agent, call, &mut progress).await {
                Ok(report) => return Ok(report),
                Err(stopped) => stopped,
            };
            if spent {
                return Err(failure);
            }
            let notice = route.pass_on(failure, &progress)?;
            // The next one counts its steps anew.
            progress = Progress::new(&self.progress);
            progress.tell(notice);
        }
    }

    /// Asks this agent. With a failure comes whether what the client gives or takes is spent.
    async fn ask_one(
        &mut self,
        mut agent: Agent,
        call: Call,
        progress: &mut Progress,
    ) -> Result<Report, (Failure, bool)> {
        let Self { context, request, lent, place, .. } = self;
        let own = |failure| (failure, true);
        let lending = lend::Lending::build(context, lent.clone()).map_err(own)?;
        let (taken, lending) = match place.as_mut().filter(|_| call == Call::Build) {
            Some(place) => {
                let (begun, taker) = place.open().map_err(own)?;
                (Some(begun), lending.taking(taker))
            }
            None => (None, lending),
        };
        let session = lend::lend(&agent.client, lending).map_err(own)?;
        let request = BuildRequest { session: session.id.clone(), wait: agent.wait, ..request.clone() };
        let network = request.network;
        let request = crate::pb::BuildRequest::from(request);
        let done = match call {
            Call::Build => follow::follow(agent.client.build(request), progress).await,
            Call::Plan => follow::follow(agent.client.plan(request), progress).await,
        };
        match done {
            Ok(report) => {
                taken.map_or(Ok(()), Taken::keep).map_err(own)?;
                Ok(Report { context_bytes: report.context_bytes + context.uploaded(), ..report })
            }
            Err(failure) => {
                let spent = context.is_spent() || taken.is_some_and(|taken| taken.is_spent());
                Err((context.explain(cause::explain(session.explain(failure), network)), spent))
            }
        }
    }
}

/// A build arg without a value takes that of the environment, and is left out where there is none.
fn build_args(args: Vec<(String, Option<String>)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut given = BTreeMap::new();
    for (name, value) in args {
        let value = match value {
            Some(value) => Some(value),
            None => match std::env::var(&name) {
                Ok(value) => Some(value),
                Err(VarError::NotPresent) => None,
                Err(VarError::NotUnicode(_)) => {
                    return Err(usage(format!("--build-arg {name}: its value in the environment is not UTF-8"))
                        .next("give the value with --build-arg NAME=VALUE"));
                }
            },
        };
        given.extend(value.map(|value| (name, value)));
    }
    Ok(given)
}
