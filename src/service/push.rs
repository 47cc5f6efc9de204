//! Pushes: one for each repository, then a manifest PUT for each further tag. What may pass is tried again, and said.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::{agent::Inner, stream::tee};
use crate::{
    engine::PushError,
    model::{Credential, Event, Failure, FailureKind, PushRequest, Reference, Report},
    registry,
    session::Lent,
    strategy::{
        self, PushGroup,
        retry::{Policy, Trouble},
    },
};

/// The call Push.
pub(super) async fn push(
    agent: Arc<Inner>,
    request: PushRequest,
    events: mpsc::Sender<Event>,
) -> Result<Report, Failure> {
    let since = Instant::now();
    agent.engine_within(request.wait, &events).await?;
    let lent = match &request.session {
        Some(id) => Some(agent.sessions.find(id).await?),
        None => None,
    };
    let (tee, tally) = tee(events, |_| ());
    let pusher = Pusher { agent: &agent, lent: lent.as_ref(), events: &tee };
    let digest = pusher.push(&strategy::push_groups(&request.tags)).await?;
    drop(tee);
    let mut report = tally.await.unwrap_or_default().report();
    report.digest = digest.unwrap_or_default();
    report.tags = request.tags.iter().map(ToString::to_string).collect();
    report.elapsed_ms = since.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    Ok(report)
}

/// What every push needs.
#[derive(Clone, Copy)]
pub(super) struct Pusher<'a> {
    pub(super) agent: &'a Inner,
    pub(super) lent: Option<&'a Lent>,
    pub(super) events: &'a mpsc::Sender<Event>,
}

impl Pusher<'_> {
    /// Pushes what the engine holds. The digest of the first.
    pub(super) async fn push(self, groups: &[PushGroup]) -> Result<Option<String>, Failure> {
        let mut first = None;
        for group in groups {
            let credential = self.credential(&group.first).await?;
            let digest = match self.push_one(&group.first, &credential).await? {
                Some(digest) => digest,
                None => self.agent.registry.digest(&group.first, &credential).await?,
            };
            self.announce(&group.first, &digest).await;
            self.retag_one(group, &digest, &credential).await?;
            first.get_or_insert(digest);
        }
        Ok(first)
    }

    /// Gives what the solve pushed, with this digest, its further tags.
    pub(super) async fn retag(self, groups: &[PushGroup], digest: &str) -> Result<(), Failure> {
        for group in groups {
            self.announce(&group.first, digest).await;
            if !group.rest.is_empty() {
                let credential = self.credential(&group.first).await?;
                self.retag_one(group, digest, &credential).await?;
            }
        }
        Ok(())
    }

    /// How long the registry of a failed push or pull wants to be left alone.
    pub(super) async fn wait_for(&self, reference: &Reference, text: &str) -> Option<std::time::Duration> {
        if Trouble::of_text(text) != Trouble::RateLimited {
            return None;
        }
        // The engine's error has lost the header: the registry itself is asked.
        let credential = self.credential(reference).await.ok()?;
        self.agent.registry.retry_after(reference, &credential).await
    }

    /// The client's credential; nobody's where it lends none.
    pub(super) async fn credential(&self, reference: &Reference) -> Result<Credential, Failure> {
        match self.lent {
            Some(lent) => lent.credential(reference.registry()).await,
            None => Ok(Credential::Anonymous),
        }
    }

    async fn push_one(&self, tag: &Reference, credential: &Credential) -> Result<Option<String>, Failure> {
        let operation = || self.push_attempt(tag, credential);
        let what = format!("push of {tag}");
        registry::retrying(&Policy::default(), operation, Failed::trouble, |attempt| {
            self.notice(attempt.notice(&what, &attempt.error.reason()))
        })
        .await
        .map_err(Failure::from)
    }

    async fn push_attempt(&self, tag: &Reference, credential: &Credential) -> Result<Option<String>, Failed> {
        match self.agent.engine.push(tag, credential, self.events).await.map_err(Failed::from) {
            Err(Failed::Registry(error)) => {
                let retry_after = self.wait_for(tag, &error.detail).await;
                Err(Failed::Registry(registry::Error { retry_after, ..error }))
            }
            other => other,
        }
    }

    async fn retag_one(&self, group: &PushGroup, digest: &str, credential: &Credential) -> Result<(), Failure> {
        if group.rest.is_empty() {
            return Ok(());
        }
        // By its digest: somebody else may have moved the tag since.
        let pushed = group.first.with_digest(digest);
        let operation = || self.agent.registry.retag(&pushed, &group.rest, credential);
        let what = format!("tagging {}", group.first.name());
        registry::retrying(&Policy::default(), operation, registry::Error::trouble, |attempt| {
            self.notice(attempt.notice(&what, &attempt.error.reason()))
        })
        .await?;
        for tag in &group.rest {
            self.announce(tag, digest).await;
        }
        Ok(())
    }

    /// Pushes cache that the engine holds under this name.
    pub(super) async fn push_cache(&self, place: &Reference) -> Result<(), Failure> {
        let credential = self.credential(place).await?;
        self.push_one(place, &credential).await.map(drop)
    }

    pub(super) async fn announce(&self, tag: &Reference, digest: &str) {
        drop(self.events.send(Event::Pushed { reference: tag.to_string(), digest: digest.to_owned() }).await);
    }

    /// Tells what is tried again.
    pub(super) async fn notice(&self, text: String) {
        tracing::info!("{text}");
        drop(self.events.send(Event::Notice { warning: true, text }).await);
    }
}

/// A push that failed, as [`registry::retrying`] wants to know it.
enum Failed {
    Registry(registry::Error),
    Other(Failure),
}

impl Failed {
    fn trouble(&self) -> (Trouble, Option<std::time::Duration>) {
        match self {
            Self::Registry(error) => error.trouble(),
            Self::Other(_) => (Trouble::Other, None),
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Registry(error) => error.reason(),
            Self::Other(failure) => failure.what.clone(),
        }
    }
}

impl From<PushError> for Failed {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Registry { tag, text } => Self::Registry(registry::Error::of_engine(&tag, "push", &text, None)),
            PushError::Unknown { tag } => Self::Other(
                Failure::new(FailureKind::NotFound, format!("the engine holds no image {tag}"))
                    .next("build it first, without --push or with --load, or check its name and tag"),
            ),
            PushError::Engine(failure) => Self::Other(failure),
        }
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Registry(error) => error.into(),
            Failed::Other(failure) => failure,
        }
    }
}
