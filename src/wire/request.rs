//! Requests <-> protobuf. What comes from outside is checked here, once.

use std::time::Duration;

use super::described::{
    attestations, checked_options, from_export, from_provenance, from_subrequest, to_export, to_provenance,
    to_subrequest,
};
use crate::{
    model::{
        Annotation, BuildRequest, CacheRequest, Failure, FailureKind, Network, PruneRequest, PushRequest, REVISION,
        Reference, RunOptions, SessionId, is_platform,
    },
    pb,
};

pub(super) fn usage(what: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Usage, what)
}

/// What knows every field that is not named with a later one.
const FIRST_REVISION: u32 = 1;

/// Refuses what a newer client asks and we would silently leave out.
pub(super) fn check_revision(revision: u32) -> Result<(), Failure> {
    if revision <= REVISION {
        return Ok(());
    }
    Err(usage(format!("the agent knows revision {REVISION} of the API, and this request needs revision {revision}"))
        .next("update the agent's image, or use the client of the agent's version"))
}

pub(super) fn references(texts: &[String]) -> Result<Vec<Reference>, Failure> {
    let parse = |text: &String| text.parse::<Reference>().map_err(|e| usage(e.to_string()));
    texts.iter().map(parse).collect()
}

/// References that something is to be given: with a digest they could only name what is there already.
fn names(texts: &[String]) -> Result<Vec<Reference>, Failure> {
    let names = references(texts)?;
    match names.iter().find(|name| name.digest().is_some()) {
        Some(name) => {
            Err(usage(format!("'{name}' names a digest, where a tag is wanted")).next("leave the digest out"))
        }
        None => Ok(names),
    }
}

pub(super) fn session(id: &str) -> Result<SessionId, Failure> {
    SessionId::parse(id).ok_or_else(|| usage("a session's id is 32 hexadecimal digits"))
}

fn checked_platforms(platforms: Vec<String>) -> Result<Vec<String>, Failure> {
    match platforms.iter().find(|platform| !is_platform(platform)) {
        Some(odd) => Err(usage(format!("'{odd}' is no platform")).next("name it as OS/ARCH, such as linux/arm64")),
        None => Ok(platforms),
    }
}

/// Names of stages, which go into a list with commas.
fn stages(names: Vec<String>) -> Result<Vec<String>, Failure> {
    match names.iter().find(|name| name.is_empty() || name.contains(',')) {
        Some(odd) => Err(usage(format!("'{odd}' is no name of a stage"))),
        None => Ok(names),
    }
}

fn strings(references: &[Reference]) -> Vec<String> {
    references.iter().map(Reference::to_string).collect()
}

pub(super) fn millis(duration: Duration) -> u32 {
    duration.as_millis().try_into().unwrap_or(u32::MAX)
}

/// Half a second is not any age: it is rounded up.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

pub(super) fn wait(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

impl TryFrom<pb::BuildRequest> for BuildRequest {
    type Error = Failure;

    fn try_from(request: pb::BuildRequest) -> Result<Self, Failure> {
        check_revision(request.revision)?;
        let (network, export, subrequest) = (request.network(), request.export(), request.subrequest());
        let provenance = from_provenance(request.provenance());
        let pb::BuildRequest {
            revision: _,
            session: id,
            dockerfile,
            tags,
            target,
            build_args,
            labels,
            no_cache,
            pull,
            platforms,
            network: _,
            cache_from,
            push,
            load,
            wait_ms,
            cache,
            run,
            entitlements,
            no_cache_stages,
            export: _,
            remote,
            contexts,
            dockerfile_lent,
            raw_status,
            provenance: _,
            annotations,
            attestations: attested,
            subrequest: _,
            export_options,
        } = request;
        let export = from_export(export);
        Ok(Self {
            session: session(&id)?,
            dockerfile: if dockerfile.is_empty() { "Dockerfile".to_owned() } else { dockerfile },
            remote: Some(remote).filter(|remote| !remote.is_empty()),
            dockerfile_lent,
            contexts: contexts.into_iter().collect(),
            tags: names(&tags)?,
            target: Some(target).filter(|target| !target.is_empty()),
            build_args: build_args.into_iter().collect(),
            labels: labels.into_iter().collect(),
            no_cache,
            no_cache_stages: stages(no_cache_stages)?,
            pull,
            platforms: checked_platforms(platforms)?,
            network: match network {
                pb::Network::Default => Network::Default,
                pb::Network::None => Network::None,
                pb::Network::Host => Network::Host,
            },
            run: run.map(RunOptions::try_from).transpose()?.unwrap_or_default(),
            entitlements,
            cache_from: references(&cache_from)?,
            cache: cache.map(CacheRequest::try_from).transpose()?.unwrap_or_default(),
            export,
            export_options: checked_options(export, export_options)?,
            annotations: annotations.into_iter().map(Annotation::try_from).collect::<Result<_, _>>()?,
            attestations: attestations(attested)?,
            subrequest: from_subrequest(subrequest),
            push,
            load,
            raw_status,
            provenance,
            wait: wait(wait_ms),
        })
    }
}

impl From<BuildRequest> for pb::BuildRequest {
    fn from(request: BuildRequest) -> Self {
        let BuildRequest {
            session,
            dockerfile,
            remote,
            dockerfile_lent,
            contexts,
            tags,
            target,
            build_args,
            labels,
            no_cache,
            no_cache_stages,
            pull,
            platforms,
            network,
            run,
            entitlements,
            cache_from,
            cache,
            export,
            export_options,
            annotations,
            attestations,
            subrequest,
            push,
            load,
            raw_status,
            provenance,
            wait,
        } = request;
        let export = to_export(export);
        let run = if run == RunOptions::default() { None } else { Some(run.into()) };
        // An older agent would ignore what it does not know. What the CI says it may: then there is no scope.
        let revision = match () {
            () if run.is_some() || !entitlements.is_empty() || !no_cache_stages.is_empty() => 3,
            () if export != pb::Export::Image || remote.is_some() || !contexts.is_empty() => 3,
            () if !export_options.is_empty() || raw_status => 3,
            () if !annotations.is_empty() || !attestations.is_empty() || subrequest.is_some() => 3,
            () if cache.asks() => 2,
            () => FIRST_REVISION,
        };
        let cache = if cache == CacheRequest::default() { None } else { Some(cache.into()) };
        let network = match network {
            Network::Default => pb::Network::Default,
            Network::None => pb::Network::None,
            Network::Host => pb::Network::Host,
        };
        Self {
            revision,
            session: session.0,
            dockerfile,
            tags: strings(&tags),
            target: target.unwrap_or_default(),
            build_args: build_args.into_iter().collect(),
            labels: labels.into_iter().collect(),
            no_cache,
            pull,
            platforms,
            network: network.into(),
            cache_from: strings(&cache_from),
            push,
            load,
            wait_ms: millis(wait),
            cache,
            run,
            entitlements,
            no_cache_stages,
            export: export.into(),
            remote: remote.unwrap_or_default(),
            contexts: contexts.into_iter().collect(),
            dockerfile_lent,
            raw_status,
            provenance: to_provenance(provenance).into(),
            annotations: annotations.into_iter().map(pb::Annotation::from).collect(),
            attestations: attestations.into_iter().collect(),
            subrequest: to_subrequest(subrequest).into(),
            export_options: export_options.into_iter().collect(),
        }
    }
}

impl TryFrom<pb::PushRequest> for PushRequest {
    type Error = Failure;

    fn try_from(request: pb::PushRequest) -> Result<Self, Failure> {
        let pb::PushRequest { revision, session: id, tags, wait_ms } = request;
        check_revision(revision)?;
        if tags.is_empty() {
            return Err(usage("nothing to push: the request names no image"));
        }
        let session = if id.is_empty() { None } else { Some(session(&id)?) };
        Ok(Self { session, tags: names(&tags)?, wait: wait(wait_ms) })
    }
}

impl From<PushRequest> for pb::PushRequest {
    fn from(request: PushRequest) -> Self {
        let PushRequest { session, tags, wait } = request;
        let session = session.map(|id| id.0).unwrap_or_default();
        Self { revision: FIRST_REVISION, session, tags: strings(&tags), wait_ms: millis(wait) }
    }
}

impl TryFrom<pb::PruneRequest> for PruneRequest {
    type Error = Failure;

    fn try_from(request: pb::PruneRequest) -> Result<Self, Failure> {
        let pb::PruneRequest { revision, all, unused_for_seconds, keep_bytes, dry_run, wait_ms } = request;
        check_revision(revision)?;
        let unused_for = Duration::from_secs(unused_for_seconds);
        Ok(Self { all, unused_for, keep_bytes, dry_run, wait: wait(wait_ms) })
    }
}

impl From<PruneRequest> for pb::PruneRequest {
    fn from(request: PruneRequest) -> Self {
        let PruneRequest { all, unused_for, keep_bytes, dry_run, wait } = request;
        Self {
            revision: FIRST_REVISION,
            all,
            unused_for_seconds: whole_seconds(unused_for),
            keep_bytes,
            dry_run,
            wait_ms: millis(wait),
        }
    }
}

#[cfg(test)]
mod tests;
