//! The agent's pull secrets, where a client has nothing for a registry.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::agent::Inner;
use crate::{
    kube::PullSecrets,
    model::{BuildRequest, Credential, Event, Failure, Reference, registry_host},
    session::{Fallback, Lent},
};

/// What is lent, with the pull secrets behind it. What is wrong with them is told: the build may fail of it.
///
/// They are for pulling. An engine does not say what it asks for, so they are not given for a registry to which the
/// build pushes: who may build does not push with what is not its own.
pub(super) async fn pulling(agent: &Inner, request: &BuildRequest, lent: Lent, events: &mpsc::Sender<Event>) -> Lent {
    let Some(secrets) = &agent.settings.pull_secrets else { return lent };
    for text in secrets.problems().await {
        drop(events.send(Event::Notice { warning: true, text }).await);
    }
    lent.with_fallback(but_for(written(request), secrets))
}

/// What there is to read from a registry with: what is lent, else a pull secret.
pub(super) async fn reading(agent: &Inner, lent: Option<&Lent>, registry: &str) -> Result<Credential, Failure> {
    let secrets = agent.settings.pull_secrets.as_ref().map(|secrets| but_for(BTreeSet::new(), secrets));
    match (lent.cloned(), secrets) {
        (Some(lent), Some(secrets)) => lent.with_fallback(secrets).credential(registry).await,
        (Some(lent), None) => lent.credential(registry).await,
        (None, Some(secrets)) => Ok(secrets(registry.to_owned()).await),
        (None, None) => Ok(Credential::Anonymous),
    }
}

/// The pull secrets, but for these registries.
fn but_for(registries: BTreeSet<String>, secrets: &Arc<PullSecrets>) -> Fallback {
    let (registries, secrets) = (Arc::new(registries), Arc::clone(secrets));
    Arc::new(move |host| {
        let (registries, secrets) = (Arc::clone(&registries), Arc::clone(&secrets));
        async move {
            if registries.contains(registry_host(&host)) {
                return Credential::Anonymous;
            }
            secrets.credential(&host).await.unwrap_or_default()
        }
        .boxed()
    })
}

/// The registries to which a build may write images or cache.
fn written(request: &BuildRequest) -> BTreeSet<String> {
    let cache = request.cache.repository.iter();
    let tags = request.tags.iter().filter(|_| request.push);
    tags.chain(cache).map(Reference::registry).map(|host| registry_host(host).to_owned()).collect()
}
