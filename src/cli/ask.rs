//! What `build` and `plan` ask of the agent.

use std::{
    collections::BTreeMap,
    env::VarError,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    args::{Build, Connection, Network, Told},
    ci, connect,
    dockerfile::{self, Dockerfile},
    excerpt,
    export::{Destination, Place},
    follow, ignored, lend,
    progress::Progress,
    text, usage,
};
use crate::{
    model::{self, BuildRequest, Failure, FailureKind, Report, SessionId},
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
    context: PathBuf,
    dockerfile: Dockerfile,
    /// Session and time to wait come later.
    request: BuildRequest,
    lent: (Secrets, SshAgents),
    /// What takes an export.
    place: Option<Place>,
    quiet: bool,
}

impl Asked {
    /// Reads it from the command line.
    pub(super) fn new(args: Build) -> Result<Self, Failure> {
        let quiet = args.is_quiet() || args.progress == Told::None;
        let subrequest = args.call.asked().subrequest;
        let Destination { export, options, place, push, load, names } = match subrequest {
            None => Destination::of(&args)?,
            // Nothing is made.
            Some(_) => Destination::default(),
        };
        let (context, dockerfile) = if args.context == Path::new("-") && args.file.is_none() {
            dockerfile::alone(io::stdin().lock())?
        } else {
            (context(&args.context)?, dockerfile::find(&args.context, args.file.as_deref())?)
        };
        let tags: Vec<_> = args.tags.into_iter().chain(names).collect();
        if push && tags.is_empty() {
            return Err(usage("--push without a tag: there is no name to push to")
                .next("name the image with -t REGISTRY/REPOSITORY:TAG"));
        }
        if let Some(notice) = args.compat.notice() {
            text::notice(notice);
        }
        let build_args = build_args(args.build_args)?;
        let (annotations, attestations) = args.described.request();
        let lent = args.lent.open()?;
        let (cache_from, cache) = args.cache.request(ci::variables())?;
        let request = BuildRequest {
            session: SessionId(String::new()),
            dockerfile: dockerfile.name.clone(),
            remote: None,
            contexts: BTreeMap::new(),
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
            wait: Duration::ZERO,
        };
        Ok(Self { context, dockerfile, request, lent, place, quiet })
    }

    /// Asks the agent, and follows the call to its end.
    pub(super) async fn ask(self, connection: &Connection, call: Call) -> Result<Report, Failure> {
        let Self { context, dockerfile: Dockerfile { directory, name, read: _read }, request, lent, place, quiet } =
            self;
        let mut agent = connect::connect(connection).await?;
        let path = directory.join(&name);
        let lending = lend::Lending::build(context.clone(), directory, name.as_ref(), lent);
        let (taken, lending) = match place.filter(|_| call == Call::Build) {
            Some(place) => {
                let (begun, taker) = place.open()?;
                (Some(begun), lending.taking(taker))
            }
            None => (None, lending),
        };
        let session = lend::lend(&agent.client, lending)?;
        let request = BuildRequest { session: session.id.clone(), wait: agent.wait, ..request };
        let request = crate::pb::BuildRequest::from(request);
        let mut progress = Progress::new(quiet);
        let done = match call {
            Call::Build => follow::follow(agent.client.build(request), &mut progress).await,
            Call::Plan => follow::follow(agent.client.plan(request), &mut progress).await,
        };
        if let (Ok(_), Some(taken)) = (&done, taken) {
            taken.keep()?;
        }
        done.map_err(|failure| located(ignored::explain(session.explain(failure), &context, &path), &path, &name))
    }
}

fn context(path: &Path) -> Result<PathBuf, Failure> {
    let text = path.to_string_lossy();
    if text == "-" || text.contains("://") || text.starts_with("git@") {
        return Err(usage(format!("the build context {text}: only directories are supported so far"))
            .next("check it out or unpack it, and name its directory"));
    }
    let found = path.canonicalize().and_then(|full| Ok((fs::metadata(&full)?.is_dir(), full)));
    match found {
        Ok((true, full)) => Ok(full),
        Ok((false, _)) => Err(usage(format!("the build context {} is no directory", path.display()))
            .next("name the directory that holds what the Dockerfile copies, such as .")),
        Err(error) => Err(usage(format!("the build context {}: {error}", path.display()))
            .next("name an existing directory, such as .")),
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

/// Adds the lines at fault, where the engine did not tell them.
fn located(mut failure: Failure, path: &Path, name: &str) -> Failure {
    if failure.excerpt.is_none() && failure.kind == FailureKind::Build {
        failure.excerpt = fs::read_to_string(path).ok().and_then(|text| excerpt::find(&failure, name, &text));
    }
    failure
}
