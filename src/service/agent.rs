//! The state that all calls share, and the generated trait.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Mutex, RwLock, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};

use super::{
    admission::Admission,
    builds::Builds,
    door::Caller,
    places::Places,
    sessions::Sessions,
    stream::{EventStream, OnHangUp, stream},
};
use crate::{
    engine::{Engine, State},
    kube::{Authority, PullSecrets},
    model::{
        BuildRequest, CancelRequest, Capabilities, DiagnoseRequest, DiskUsageRequest, Event, Failure, FailureKind,
        Permission, PruneRequest, PushRequest,
    },
    pb::{self, build_agent_server::BuildAgent},
    registry::{self, Registry},
    strategy::queue::Limits,
    wire,
};

/// What the configuration says that calls have to heed.
#[derive(Clone)]
pub struct Settings {
    /// Entitlements that builds may ask for, such as `network.host`.
    pub allow_entitlement: Vec<String>,
    /// Registries that speak plain HTTP.
    pub insecure_registry: Vec<String>,
    /// How much longer a build may take for registries that do not say which cache refs exist.
    pub cache_deadline: Duration,
    /// What callers must show. A unix socket can do without: its mode says who may connect.
    pub token: Option<String>,
    /// What the agent is called among others of its kind.
    pub name: String,
    /// How many builds run and wait.
    pub limits: Limits,
    /// Whom to ask about callers over TCP, and the tokens that they show.
    pub cluster: Option<Arc<Authority>>,
    /// What to log in to registries with where a client has nothing for them.
    pub pull_secrets: Option<Arc<PullSecrets>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_entitlement: Vec::new(),
            insecure_registry: Vec::new(),
            cache_deadline: Duration::from_secs(2),
            token: None,
            name: String::new(),
            limits: Limits { running: 0, waiting: 32 },
            cluster: None,
            pull_secrets: None,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("allow_entitlement", &self.allow_entitlement)
            .field("insecure_registry", &self.insecure_registry)
            .finish_non_exhaustive()
    }
}

/// The agent: cheap to clone, its clones are one.
#[derive(Clone)]
pub struct Agent {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    /// Random: who comes by two addresses knows it again.
    pub(super) instance: String,
    pub(super) engine: Engine,
    pub(super) registry: Registry,
    pub(super) settings: Settings,
    pub(super) sessions: Sessions,
    pub(super) builds: Builds,
    pub(super) admission: Admission,
    /// One build at a time looks whether it has anything to do.
    pub(super) looking: Mutex<()>,
    /// Where cache images are being written.
    pub(super) places: Places,
    /// Builds that have the engine do their steps share it; one that looks is best alone.
    pub(super) solving: RwLock<()>,
    /// Every call that works: they are waited for before the agent ends.
    pub(super) running: TaskTracker,
    pub(super) draining: CancellationToken,
}

impl Agent {
    /// An agent beside this engine.
    pub fn new(engine: Engine, settings: Settings) -> Self {
        let registry = Registry::new(registry::Options { insecure: settings.insecure_registry.clone() });
        let inner = Inner {
            instance: uuid::Uuid::new_v4().simple().to_string(),
            engine,
            registry,
            admission: Admission::new(settings.limits),
            settings,
            sessions: Sessions::default(),
            builds: Builds::default(),
            looking: Mutex::default(),
            places: Places::default(),
            solving: RwLock::default(),
            running: TaskTracker::new(),
            draining: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    fn refuse_while_draining(&self) -> Result<(), Failure> {
        if self.inner.draining.is_cancelled() {
            return Err(going_away());
        }
        Ok(())
    }
}

/// Whom the door let in.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request.extensions().get().cloned().ok_or_else(|| Status::internal("a call came past the door"))
}

/// Why an agent that is shutting down takes no work.
pub(super) fn going_away() -> Failure {
    Failure::new(FailureKind::Agent, "the agent is shutting down and takes no new work")
        .next("try again: the next agent takes over")
}

impl Inner {
    /// What the engine can do; waits for one that is not there yet, and says so once.
    pub(super) async fn engine_within(
        &self,
        wait: Duration,
        events: &mpsc::Sender<Event>,
    ) -> Result<Arc<Capabilities>, Failure> {
        if let State::Absent(failure) = self.engine.settled().await {
            let text = format!("waiting for the engine: {}", failure.what);
            drop(events.send(Event::Notice { warning: false, text }).await);
        }
        self.engine.wait(wait).await
    }
}

#[tonic::async_trait]
impl BuildAgent for Agent {
    type SessionStream = super::sessions::Outgoing;
    type BuildStream = EventStream;
    type PlanStream = EventStream;
    type PushStream = EventStream;
    type PruneStream = EventStream;

    async fn session(
        &self,
        request: Request<Streaming<pb::SessionData>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        self.inner.sessions.lend(request).map(Response::new).map_err(wire::to_status)
    }

    async fn build(&self, request: Request<pb::BuildRequest>) -> Result<Response<EventStream>, Status> {
        self.refuse_while_draining().map_err(wire::to_status)?;
        let caller = caller(&request)?;
        let request = BuildRequest::try_from(request.into_inner()).map_err(wire::to_status)?;
        if request.may_write() {
            caller.may(Permission::Push).await.map_err(wire::to_status)?;
        }
        let inner = Arc::clone(&self.inner);
        let build = move |events| super::build::build(inner, request, caller.name, events);
        Ok(stream(&self.inner.running, OnHangUp::Cancel, build))
    }

    async fn plan(&self, request: Request<pb::BuildRequest>) -> Result<Response<EventStream>, Status> {
        self.refuse_while_draining().map_err(wire::to_status)?;
        let request = BuildRequest::try_from(request.into_inner()).map_err(wire::to_status)?;
        let inner = Arc::clone(&self.inner);
        Ok(stream(&self.inner.running, OnHangUp::Cancel, move |events| super::plan::plan(inner, request, events)))
    }

    async fn push(&self, request: Request<pb::PushRequest>) -> Result<Response<EventStream>, Status> {
        self.refuse_while_draining().map_err(wire::to_status)?;
        let request = PushRequest::try_from(request.into_inner()).map_err(wire::to_status)?;
        let inner = Arc::clone(&self.inner);
        Ok(stream(&self.inner.running, OnHangUp::Cancel, move |events| super::push::push(inner, request, events)))
    }

    async fn prune(&self, request: Request<pb::PruneRequest>) -> Result<Response<EventStream>, Status> {
        self.refuse_while_draining().map_err(wire::to_status)?;
        let request = PruneRequest::try_from(request.into_inner()).map_err(wire::to_status)?;
        let inner = Arc::clone(&self.inner);
        // A prune that is cancelled half-way has hung later ones.
        Ok(stream(&self.inner.running, OnHangUp::CarryOn, move |events| super::prune::prune(inner, request, events)))
    }

    async fn info(&self, request: Request<pb::InfoRequest>) -> Result<Response<pb::InfoResponse>, Status> {
        let mut info = super::info::info(&self.inner).await;
        match caller(&request)?.may(Permission::List).await {
            Ok(()) => info.builds = self.inner.builds.list(),
            // The rest is for whoever may look at the engine.
            Err(failure) if failure.kind == FailureKind::Policy => {}
            Err(failure) => return Err(wire::to_status(failure)),
        }
        Ok(Response::new(info))
    }

    async fn diagnose(&self, request: Request<pb::DiagnoseRequest>) -> Result<Response<pb::DiagnoseResponse>, Status> {
        let caller = caller(&request)?;
        let request = DiagnoseRequest::try_from(request.into_inner()).map_err(wire::to_status)?;
        // Who asks registries through the agent does what a build does, with pull secrets too.
        if !request.repositories.is_empty() {
            caller.may(Permission::Build).await.map_err(wire::to_status)?;
        }
        let findings = super::diagnose::diagnose(&self.inner, &request).await.map_err(wire::to_status)?;
        Ok(Response::new(pb::DiagnoseResponse { findings: findings.into_iter().map(Into::into).collect() }))
    }

    async fn state(&self, request: Request<pb::StateRequest>) -> Result<Response<pb::StateResponse>, Status> {
        let caller = caller(&request)?.name.unwrap_or_default();
        let makes_room = self.inner.admission.makes_room(&caller, &request.into_inner().project);
        Ok(Response::new(pb::StateResponse { makes_room, ..super::info::state(&self.inner) }))
    }

    async fn disk_usage(
        &self,
        request: Request<pb::DiskUsageRequest>,
    ) -> Result<Response<pb::DiskUsageResponse>, Status> {
        let request = DiskUsageRequest::try_from(request.into_inner()).map_err(wire::to_status)?;
        let usage = super::disk::disk_usage(&self.inner, &request).await.map_err(wire::to_status)?;
        Ok(Response::new(usage.into()))
    }

    async fn list_builds(&self, _: Request<pb::ListBuildsRequest>) -> Result<Response<pb::ListBuildsResponse>, Status> {
        Ok(Response::new(pb::ListBuildsResponse { builds: self.inner.builds.list() }))
    }

    async fn cancel(&self, request: Request<pb::CancelRequest>) -> Result<Response<pb::CancelResponse>, Status> {
        let caller = caller(&request)?;
        let mut request = CancelRequest::try_from(request.into_inner()).map_err(wire::to_status)?;
        // What is known comes before what the client says of itself.
        if let Some(name) = caller.name {
            request.by = format!("{name} ({})", request.by);
        }
        let build = self.inner.builds.cancel(&request).await.map_err(wire::to_status)?;
        Ok(Response::new(pb::CancelResponse { build: Some(build) }))
    }
}
