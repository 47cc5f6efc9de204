//! Keeps a connection to the engine: waits for one that is not there yet, and comes back when it restarts.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Error,
    dial::{Grpc, Transport},
    docker::Docker,
    probe::{self, Found},
};
use crate::model::{Capabilities, EngineUrl, Failure};

/// The pause before the next try doubles from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How long the first look at an engine may keep a caller who only wants to know.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// How often an engine is asked whether it still answers.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Whether the engine is there.
#[derive(Clone)]
pub enum State {
    /// Not yet, or not any more; why.
    Absent(Failure),
    /// It answers.
    Ready(Arc<Capabilities>),
}

/// A handle on the engine; its clones share one supervising connection.
#[derive(Clone)]
pub struct Engine {
    pub(super) url: EngineUrl,
    state: watch::Receiver<Internal>,
    _stop: Arc<DropGuard>,
}

#[derive(Clone)]
enum Internal {
    /// Nothing is known yet.
    Looking(Failure),
    Absent(Failure),
    Ready(Arc<Ready>),
}

/// What a connection needs to be used.
pub(super) struct Ready {
    pub(super) capabilities: Arc<Capabilities>,
    pub(super) transport: Transport,
    /// Absent for a standalone buildkitd.
    pub(super) docker: Option<Docker>,
    /// Cancelled when the engine has stopped to answer, without closing anything.
    frozen: CancellationToken,
}

impl Engine {
    /// Starts to look for the engine, and keeps at it until the last clone is dropped.
    pub fn connect(url: EngineUrl) -> Self {
        let starting = Failure::new(crate::model::FailureKind::Engine, format!("connecting to the engine at {url}"));
        let (publish, state) = watch::channel(Internal::Looking(starting));
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(supervise(url.clone(), publish)));
        Self { url, state, _stop: Arc::new(stop.drop_guard()) }
    }

    /// Where the engine is.
    pub fn url(&self) -> &EngineUrl {
        &self.url
    }

    /// Whether it is there now. Right after the start it waits for the first look, at most for a moment.
    pub async fn settled(&self) -> State {
        let mut state = self.state.clone();
        let has_looked = state.wait_for(|state| !matches!(state, Internal::Looking(_)));
        drop(tokio::time::timeout(FIRST_LOOK, has_looked).await);
        self.state()
    }

    /// Whether it is there now.
    pub fn state(&self) -> State {
        match &*self.state.borrow() {
            Internal::Looking(failure) | Internal::Absent(failure) => State::Absent(failure.clone()),
            Internal::Ready(ready) => State::Ready(Arc::clone(&ready.capabilities)),
        }
    }

    /// Waits until it is ready, at most this long.
    pub async fn wait(&self, limit: Duration) -> Result<Arc<Capabilities>, Failure> {
        let mut state = self.state.clone();
        let is_ready = state.wait_for(|state| matches!(state, Internal::Ready(_)));
        drop(tokio::time::timeout(limit, is_ready).await);
        self.ready().map(|ready| Arc::clone(&ready.capabilities))
    }

    /// Waits until the state differs from what it was at the last call of this method on this clone.
    pub async fn changed(&mut self) {
        // An error means that the supervisor is gone, which it is only after this handle.
        drop(self.state.changed().await);
    }

    pub(super) fn ready(&self) -> Result<Arc<Ready>, Failure> {
        match &*self.state.borrow() {
            Internal::Looking(failure) | Internal::Absent(failure) => Err(failure.clone()),
            Internal::Ready(ready) => Ok(Arc::clone(ready)),
        }
    }

    /// Does the work, unless the engine stops to answer in the middle: its connections would stay open for ever.
    pub async fn while_it_answers<T, E: From<Failure>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let ready = self.ready()?;
        tokio::select! {
            done = work => done,
            () = ready.frozen.cancelled() => Err(Failure::from(Error::frozen(&self.url)).into()),
        }
    }

    /// A connection of its own, so that builds share neither windows nor fate.
    pub(super) async fn grpc(&self) -> Result<Grpc, Failure> {
        let ready = self.ready()?;
        Ok(Grpc::connect(&self.url, ready.transport).await?)
    }

    /// Docker's REST API; a failure where the engine is a buildkitd.
    pub(super) fn docker(&self) -> Result<Docker, Failure> {
        self.ready()?.docker.clone().ok_or_else(|| {
            Failure::new(
                crate::model::FailureKind::Usage,
                format!("the engine at {} is a standalone buildkitd, which keeps no images", self.url),
            )
            .next("build with --push, or use a Docker engine")
        })
    }
}

async fn supervise(url: EngineUrl, publish: watch::Sender<Internal>) {
    let mut pause = RETRY.0;
    let mut said = String::new();
    loop {
        match establish(&url).await {
            Ok((ready, mut connection)) => {
                said.clear();
                let since = Instant::now();
                let frozen = ready.frozen.clone();
                let capabilities = &ready.capabilities;
                tracing::info!(engine = %url, kind = capabilities.kind.as_str(), version = capabilities.version, "engine ready");
                publish.send_replace(Internal::Ready(Arc::new(ready)));
                let gone = end_of(&url, &mut connection, &frozen).await;
                tracing::warn!(engine = %url, error = %gone, "engine went away");
                publish.send_replace(Internal::Absent(gone.into()));
                // One that hangs up again and again is asked ever more rarely.
                if since.elapsed() > RETRY.1 {
                    pause = RETRY.0;
                }
            }
            Err(error) => {
                let problem = error.to_string();
                if problem != said {
                    tracing::warn!(engine = %url, error = problem, "engine not ready");
                    said = problem;
                }
                publish.send_replace(Internal::Absent(error.into()));
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

/// Why the engine is not there any more, once it is not.
async fn end_of(url: &EngineUrl, connection: &mut Grpc, frozen: &CancellationToken) -> Error {
    loop {
        tokio::select! {
            () = connection.closed() => return Error::broken(url, "the engine closed it"),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
        // One that is stopped, or whose host is gone, closes nothing.
        if probe::alive(connection).await.is_err() {
            frozen.cancel();
            return Error::frozen(url);
        }
    }
}

async fn establish(url: &EngineUrl) -> Result<(Ready, Grpc), Error> {
    let Found { capabilities, transport, connection, docker } = probe::probe(url).await?;
    let frozen = CancellationToken::new();
    Ok((Ready { capabilities: Arc::new(capabilities), transport, docker, frozen }, connection))
}
