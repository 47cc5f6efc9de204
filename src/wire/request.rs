//! Requests <-> protobuf. What comes from outside is checked here, once.

use std::time::Duration;

use crate::{
    model::{
        BuildRequest, CacheRequest, Export, Failure, FailureKind, Network, PruneRequest, PushRequest, REVISION,
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
fn check_revision(revision: u32) -> Result<(), Failure> {
    if revision <= REVISION {
        return Ok(());
    }
    Err(usage(format!("the agent knows revision {REVISION} of the API, and this request needs revision {revision}"))
        .next("update the agent's image, or use the client of the agent's version"))
}

fn references(texts: &[String]) -> Result<Vec<Reference>, Failure> {
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

fn session(id: &str) -> Result<SessionId, Failure> {
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

fn millis(duration: Duration) -> u32 {
    duration.as_millis().try_into().unwrap_or(u32::MAX)
}

fn wait(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

impl TryFrom<pb::BuildRequest> for BuildRequest {
    type Error = Failure;

    fn try_from(request: pb::BuildRequest) -> Result<Self, Failure> {
        check_revision(request.revision)?;
        let (network, export) = (request.network(), request.export());
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
        } = request;
        Ok(Self {
            session: session(&id)?,
            dockerfile: if dockerfile.is_empty() { "Dockerfile".to_owned() } else { dockerfile },
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
            export: match export {
                pb::Export::Image => Export::Image,
                pb::Export::Tar => Export::Tar,
                pb::Export::Oci => Export::Oci,
                pb::Export::Docker => Export::Docker,
                pb::Export::CacheOnly => Export::CacheOnly,
            },
            push,
            load,
            wait: wait(wait_ms),
        })
    }
}

impl From<BuildRequest> for pb::BuildRequest {
    fn from(request: BuildRequest) -> Self {
        let BuildRequest {
            session,
            dockerfile,
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
            push,
            load,
            wait,
        } = request;
        let export = match export {
            Export::Image => pb::Export::Image,
            Export::Tar => pb::Export::Tar,
            Export::Oci => pb::Export::Oci,
            Export::Docker => pb::Export::Docker,
            Export::CacheOnly => pb::Export::CacheOnly,
        };
        let run = if run == RunOptions::default() { None } else { Some(run.into()) };
        // An older agent would ignore what it does not know. What the CI says it may: then there is no scope.
        let revision = match () {
            () if run.is_some() || !entitlements.is_empty() || !no_cache_stages.is_empty() => 3,
            () if export != pb::Export::Image => 3,
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
            // Half a second is not any age.
            unused_for_seconds: unused_for.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
            keep_bytes,
            dry_run,
            wait_ms: millis(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{CacheMode, HostAddress, Ulimit};

    #[test]
    fn a_request_of_a_newer_client_is_refused_and_not_half_done() {
        let request = pb::PruneRequest { revision: REVISION + 1, ..pb::PruneRequest::default() };
        let failure = PruneRequest::try_from(request).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Usage);
        assert!(failure.next.contains("update the agent"));
    }

    #[test]
    fn bad_values_are_named() {
        let session = "0".repeat(32);
        let bad_tag = pb::BuildRequest { tags: vec!["App".to_owned()], session, ..pb::BuildRequest::default() };
        assert!(BuildRequest::try_from(bad_tag).unwrap_err().what.contains("'App'"));
        let session = "0".repeat(32);
        let digest = vec![format!("r.example/a@sha256:{}", "a".repeat(64))];
        let by_digest = pb::BuildRequest { tags: digest.clone(), session, ..pb::BuildRequest::default() };
        assert!(BuildRequest::try_from(by_digest).unwrap_err().what.contains("digest"));
        let by_digest = pb::PushRequest { tags: digest, ..pb::PushRequest::default() };
        assert!(PushRequest::try_from(by_digest).is_err(), "it would push another image than the one named");
        assert!(BuildRequest::try_from(pb::BuildRequest::default()).is_err());
        assert!(PushRequest::try_from(pb::PushRequest::default()).is_err());
    }

    #[test]
    fn a_build_survives_the_wire() {
        let sent = pb::BuildRequest::from(request());
        assert!(BuildRequest::try_from(sent).unwrap() == request());
        let plain = BuildRequest { cache: CacheRequest::default(), ..request() };
        let sent = pb::BuildRequest::from(plain.clone());
        assert!(BuildRequest::try_from(sent).unwrap() == plain);
    }

    #[test]
    fn an_older_agent_builds_in_a_ci_and_refuses_what_is_asked_of_the_cache() {
        let variables = request().cache.variables;
        let said = CacheRequest { variables, ..CacheRequest::default() };
        let plain = BuildRequest {
            run: RunOptions::default(),
            entitlements: Vec::new(),
            no_cache_stages: Vec::new(),
            export: Export::Image,
            ..request()
        };
        let revision = |cache| pb::BuildRequest::from(BuildRequest { cache, ..plain.clone() }).revision;
        for cache in [CacheRequest::default(), said.clone()] {
            assert_eq!(revision(cache.clone()), 1, "{cache:?}");
        }
        for asked in [
            CacheRequest { mode: CacheMode::Off, ..said.clone() },
            CacheRequest { scope: request().cache.scope, ..said.clone() },
            CacheRequest { fallbacks: request().cache.fallbacks, ..said.clone() },
            CacheRequest { repository: request().cache.repository, ..said.clone() },
        ] {
            assert_eq!(revision(asked.clone()), 2, "{asked:?}");
        }
        for asked in [
            BuildRequest { run: request().run, ..plain.clone() },
            BuildRequest { entitlements: request().entitlements, ..plain.clone() },
            BuildRequest { no_cache_stages: request().no_cache_stages, ..plain.clone() },
            BuildRequest { export: Export::Tar, ..plain.clone() },
        ] {
            assert_eq!(pb::BuildRequest::from(asked).revision, 3);
        }
    }

    fn request() -> BuildRequest {
        BuildRequest {
            session: SessionId("0".repeat(32)),
            dockerfile: "d/Dockerfile".to_owned(),
            tags: vec!["r.example/a:1".parse().unwrap()],
            target: Some("t".to_owned()),
            build_args: [("A".to_owned(), "1".to_owned())].into(),
            labels: [("l".to_owned(), String::new())].into(),
            no_cache: true,
            no_cache_stages: vec!["builder".to_owned()],
            pull: true,
            platforms: vec!["linux/arm64".to_owned()],
            network: Network::Host,
            run: RunOptions {
                hosts: vec![("a.example".to_owned(), HostAddress::Gateway)],
                cgroup_parent: "ci".to_owned(),
                shm_bytes: 1 << 20,
                ulimits: vec![Ulimit { name: "nofile".to_owned(), soft: 1, hard: -1 }],
            },
            entitlements: vec!["network.host".to_owned()],
            cache_from: vec![format!("r.example/c@sha256:{}", "a".repeat(64)).parse().unwrap()],
            cache: CacheRequest {
                mode: CacheMode::Registry,
                scope: Some("feature/x".to_owned()),
                fallbacks: vec!["main".to_owned(), "ü".to_owned()],
                repository: Some("r.example/cache".parse().unwrap()),
                variables: [("GIT_BRANCH".to_owned(), "origin/main".to_owned())].into(),
            },
            export: Export::Oci,
            push: true,
            load: true,
            wait: Duration::from_secs(60),
        }
    }
}
