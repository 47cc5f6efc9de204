//! Asks registries which cache refs exist: all at once, and not for longer than the deadline.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{sync::OnceCell, time::Instant};

use super::agent::Inner;
use crate::{
    model::{CacheKind, Capabilities, Credential, Failure, Found, Whose},
    registry::{CacheImage, Carries},
    session::Lent,
    strategy::{self, Candidate, Form, PushGroup, retry::Trouble},
};

/// What the registries said of each candidate.
pub(super) struct Probed {
    pub(super) found: Vec<(Candidate, Found)>,
    /// What they have, by the digest that a ref has.
    pub(super) images: BTreeMap<String, CacheImage>,
    /// Digests of images whose caches are in a merged one of them.
    pub(super) merged: BTreeSet<String>,
    /// One line for each registry that could not be asked.
    pub(super) warnings: Vec<String>,
    /// How long registries may be asked about cache.
    pub(super) until: Instant,
}

impl Probed {
    /// Digests of the layers of all that was found.
    pub(super) fn layers(&self) -> impl Iterator<Item = &str> {
        self.images.values().flat_map(|image| image.carries.layers()).map(|layer| layer.digest.as_str())
    }

    /// Leaves out images of the target that lie upon another base image than the build's, whose config is `wanted`.
    /// What the caller named may be of any stage.
    pub(super) fn without_other_bases(&mut self, wanted: &[u8], target: Option<&str>) {
        for (candidate, found) in &mut self.found {
            let Found::Cache { digest, .. } = found else { continue };
            let Some(Carries::Inline { config, .. }) = self.images.get(digest).map(|image| &image.carries) else {
                continue;
            };
            let of_target = candidate.stage.is_none() || candidate.stage.as_deref() == target;
            if of_target && candidate.whose != Whose::Named && !strategy::same_base(wanted, config) {
                *found = Found::Useless("it lies upon another base image".to_owned());
            }
        }
    }
}

/// What lies at a ref, or why that is not known.
type Answer = Result<Option<CacheImage>, (Trouble, String)>;

/// How long registries are waited for: the deadline is what a build may lose by them, with all that follows.
fn patience(deadline: Duration) -> Duration {
    deadline * 19 / 20
}

/// Asks, for `platform`. It is done when all have answered, or its patience is over; it never fails. `pushed` is what the
/// build will push.
pub(super) async fn probe(
    agent: &Inner,
    lent: &Lent,
    candidates: Vec<Candidate>,
    capabilities: &Capabilities,
    platform: &str,
    pushed: &[PushGroup],
) -> Probed {
    let patience = patience(agent.settings.cache_deadline);
    let mut answers: Vec<Option<Answer>> = candidates.iter().map(|_| None).collect();
    let logins: BTreeMap<&str, OnceCell<Result<Credential, Failure>>> =
        candidates.iter().map(|candidate| (candidate.reference.registry(), OnceCell::new())).collect();
    let logins = &logins;
    let reader = &agent.registry.cache_reader(candidates.len(), platform);
    let mut asking: FuturesUnordered<_> = candidates
        .iter()
        .enumerate()
        .map(|(index, candidate)| async move {
            let reference = &candidate.reference;
            let host = reference.registry();
            let login = logins[host].get_or_init(|| lent.credential(host)).await;
            let answer = match login {
                Ok(credential) => reader.read(reference, credential).await.map_err(|e| (e.trouble, e.reason())),
                Err(failure) => Err((Trouble::Other, failure.what.clone())),
            };
            (index, answer)
        })
        .collect();
    let all = async {
        while let Some((index, answer)) = asking.next().await {
            answers[index] = Some(answer);
        }
    };
    let until = Instant::now() + patience;
    drop(tokio::time::timeout_at(until, all).await);
    drop(asking);
    let late = || Err((Trouble::Unreachable, format!("no answer within {} s", patience.as_secs_f64())));
    let mut probed =
        Probed { found: Vec::new(), images: BTreeMap::new(), merged: BTreeSet::new(), warnings: Vec::new(), until };
    let mut silent = BTreeMap::new();
    for (candidate, answer) in candidates.into_iter().zip(answers) {
        let found = match answer.unwrap_or_else(late) {
            Ok(Some(image)) => probed.found(image, capabilities),
            Ok(None) => Found::Missing,
            Err((trouble, _)) if strategy::may_be_new(&candidate.reference, pushed, trouble) => {
                Found::Useless("it may not be read, or the repository is not there yet".to_owned())
            }
            Err((_, why)) => {
                silent.entry(candidate.reference.registry().to_owned()).or_insert_with(|| why.clone());
                Found::Failed(why)
            }
        };
        probed.found.push((candidate, found));
    }
    let line = |(host, why)| format!("cache: {host} cannot be asked, and its cache is not used: {why}");
    probed.warnings = silent.into_iter().map(line).collect();
    probed
}

impl Probed {
    /// Takes in what lies at a ref.
    fn found(&mut self, image: CacheImage, capabilities: &Capabilities) -> Found {
        let kind = match &image.carries {
            Carries::Inline { .. } => CacheKind::Inline,
            Carries::Registry { form: Form::Manifest, .. } if !capabilities.cache_manifests => {
                return Found::Useless("this engine reads a registry cache only where it is an index".to_owned());
            }
            Carries::Registry { merged, .. } => {
                self.merged.extend(merged.iter().cloned());
                CacheKind::Registry
            }
            Carries::Nothing(why) => return Found::Useless(why.clone()),
        };
        let (digest, created) = (image.digest.clone(), image.created.clone());
        self.images.insert(digest.clone(), image);
        Found::Cache { digest, kind, created }
    }
}
