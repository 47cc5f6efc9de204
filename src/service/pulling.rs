//! The agent's pull secrets, where a client has nothing for a registry.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::agent::Inner;
use crate::{
    model::{BuildRequest, Credential, Event, Reference, registry_host},
    session::Lent,
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
    let written = Arc::new(written(request));
    let secrets = Arc::clone(secrets);
    lent.with_fallback(Arc::new(move |host| {
        let (secrets, written) = (Arc::clone(&secrets), Arc::clone(&written));
        async move {
            if written.contains(registry_host(&host)) {
                return Credential::Anonymous;
            }
            secrets.credential(&host).await.unwrap_or_default()
        }
        .boxed()
    }))
}

/// The registries to which a build may write images or cache.
fn written(request: &BuildRequest) -> BTreeSet<String> {
    let cache = request.cache.repository.iter();
    let tags = request.tags.iter().filter(|_| request.push);
    tags.chain(cache).map(Reference::registry).map(|host| registry_host(host).to_owned()).collect()
}
