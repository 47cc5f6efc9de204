//! A BuildKit that does what a test scripts, and remembers what it was asked. `control` puts it behind gRPC.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bollard_buildkit_proto::{
    google::rpc,
    moby::buildkit::v1::{
        ListWorkersResponse, PruneRequest, SolveRequest, StatusResponse, UsageRecord,
        frontend::{self, ReturnRequest},
        types::{BuildkitVersion, WorkerRecord},
    },
    pb::{Definition, Platform},
};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tonic::{Status, metadata::MetadataMap};

use super::{channel::Channel, history::Attested, rig::soon};

/// What a test wants of one call.
type Handler<I, O> = Arc<dyn Fn(I) -> BoxFuture<'static, O> + Send + Sync>;

/// Where a prune reports what it freed.
pub(crate) type Freed = mpsc::Sender<Result<UsageRecord, Status>>;

/// The fake. Clones are one.
#[derive(Clone)]
pub(crate) struct BuildKit {
    pub(super) workers: Handler<usize, Result<ListWorkersResponse, Status>>,
    pub(super) make: Handler<Build, Result<(), Status>>,
    pub(super) definition: Option<Definition>,
    pub(super) config: Vec<u8>,
    pub(super) old: bool,
    pub(super) load: Handler<Build, Result<(), Status>>,
    pub(super) returned: Handler<Build, ()>,
    pub(super) export: Handler<Build, Result<HashMap<String, String>, Status>>,
    pub(super) prune: Handler<(PruneRequest, Freed), ()>,
    pub(super) history: Handler<String, Result<Vec<Attested>, Status>>,
    pub(super) git: &'static str,
    pub(super) refuse: Option<fn() -> Status>,
    pub(super) state: Arc<State>,
}

#[derive(Default)]
pub(super) struct State {
    builds: Mutex<HashMap<String, Arc<Shared>>>,
    pub(super) sessions: watch::Sender<HashMap<String, Session>>,
    pub(super) seen: watch::Sender<Vec<Seen>>,
}

/// Something that the fake was asked, or that befell it.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Workers,
    Outer {
        connection: u64,
        request: Box<SolveRequest>,
    },
    Frontend {
        connection: u64,
        build: String,
        request: frontend::SolveRequest,
    },
    /// A file of this result was asked for.
    Loaded {
        result: String,
    },
    /// This result was to be done, wherever its layers are.
    Evaluated {
        result: String,
    },
    Returned(ReturnRequest),
    /// The record of this build was asked for.
    History {
        build: String,
    },
    /// The caller of the outer solve went away before it was answered.
    Dropped {
        build: String,
    },
    SessionEnded,
    Prune(PruneRequest),
    PruneDropped,
}

/// A session that a client lends, as BuildKit sees it.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) metadata: MetadataMap,
    pub(crate) channel: Channel,
}

/// One build, as its script sees it.
#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) id: String,
    pub(super) shared: Arc<Shared>,
    pub(super) state: Arc<State>,
}

pub(super) struct Shared {
    pub(super) outer: watch::Sender<Option<SolveRequest>>,
    pub(super) returned: watch::Sender<Option<ReturnRequest>>,
    status: Mutex<Option<mpsc::Sender<Result<StatusResponse, Status>>>>,
    pub(super) statuses: Mutex<Option<mpsc::Receiver<Result<StatusResponse, Status>>>>,
}

/// Makes a handler of an async closure.
fn handler<I, O, F>(handle: impl Fn(I) -> F + Send + Sync + 'static) -> Handler<I, O>
where
    F: Future<Output = O> + Send + 'static,
{
    Arc::new(move |input| Box::pin(handle(input)))
}

impl BuildKit {
    /// One that takes every build and answers with a digest.
    pub(crate) fn new() -> Self {
        let digest = || HashMap::from([("containerimage.digest".to_owned(), "sha256:abc".to_owned())]);
        Self {
            workers: handler(async |_| Ok(one_worker())),
            make: handler(async |_| Ok(())),
            definition: None,
            config: b"{}".to_vec(),
            old: false,
            load: handler(async |_| Ok(())),
            returned: handler(async |_| ()),
            export: handler(move |_| async move { Ok(digest()) }),
            prune: handler(async |_| ()),
            history: handler(async |_| Err(Status::unimplemented("there is no history"))),
            git: "failed to fetch remote git://127.0.0.1:1/probe: connection refused",
            refuse: None,
            state: Arc::default(),
        }
    }

    /// How `ListWorkers` is answered; the closure gets the number of the call, from 1.
    pub(crate) fn workers<F>(self, handle: impl Fn(usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<ListWorkersResponse, Status>> + Send + 'static,
    {
        Self { workers: handler(handle), ..self }
    }

    /// What the frontend does while it makes the result.
    pub(crate) fn make<F>(self, handle: impl Fn(Build) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        Self { make: handler(handle), ..self }
    }

    /// What the frontend says that its result is made of.
    pub(crate) fn definition(self, definition: Definition) -> Self {
        Self { definition: Some(definition), ..self }
    }

    /// The config of the image that the frontend's result is to be.
    pub(crate) fn config(self, config: impl Into<Vec<u8>>) -> Self {
        Self { config: config.into(), ..self }
    }

    /// Makes it one that knows no Evaluate, as Docker 20.10's.
    pub(crate) fn old(self) -> Self {
        Self { old: true, ..self }
    }

    /// What happens when a result is evaluated, or a file of it is asked for.
    pub(crate) fn load<F>(self, handle: impl Fn(Build) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        Self { load: handler(handle), ..self }
    }

    /// What happens between a `Return` and its answer.
    pub(crate) fn returned<F>(self, handle: impl Fn(Build) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { returned: handler(handle), ..self }
    }

    /// What the exporter does and answers.
    pub(crate) fn export<F>(self, handle: impl Fn(Build) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HashMap<String, String>, Status>> + Send + 'static,
    {
        Self { export: handler(handle), ..self }
    }

    /// What a prune does.
    pub(crate) fn prune<F>(self, handle: impl Fn(Freed) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { prune: handler(move |(_, freed)| handle(freed)), ..self }
    }

    /// What is attested in the history of a build.
    pub(crate) fn history<F>(self, handle: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<Attested>, Status>> + Send + 'static,
    {
        Self { history: handler(handle), ..self }
    }

    /// How it fails to fetch a git context from where nothing listens.
    pub(crate) fn git(self, text: &'static str) -> Self {
        Self { git: text, ..self }
    }

    /// Refuses every outer solve at once.
    pub(crate) fn refuse(self, status: fn() -> Status) -> Self {
        Self { refuse: Some(status), ..self }
    }

    /// Everything seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.borrow().clone()
    }

    /// The first thing seen that `pick` picks, as soon as it is there.
    pub(crate) async fn see<T>(&self, pick: impl Fn(&Seen) -> Option<T>) -> T {
        let mut seen = self.state.seen.subscribe();
        let seen = soon(seen.wait_for(|seen| seen.iter().any(|s| pick(s).is_some()))).await.unwrap();
        seen.iter().find_map(pick).unwrap()
    }

    pub(super) fn build(&self, id: &str) -> Build {
        let mut builds = self.state.builds.lock().unwrap();
        let shared = Arc::clone(builds.entry(id.to_owned()).or_default());
        Build { id: id.to_owned(), shared, state: Arc::clone(&self.state) }
    }

    pub(super) fn note(&self, seen: Seen) {
        self.state.seen.send_modify(|all| all.push(seen));
    }
}

impl Default for Shared {
    fn default() -> Self {
        let (status, statuses) = mpsc::channel(16);
        Self {
            outer: watch::Sender::default(),
            returned: watch::Sender::default(),
            status: Mutex::new(Some(status)),
            statuses: Mutex::new(Some(statuses)),
        }
    }
}

impl Build {
    /// What the outer solve asked for, once it is there.
    pub(crate) async fn outer(&self) -> SolveRequest {
        let mut outer = self.shared.outer.subscribe();
        soon(outer.wait_for(Option::is_some)).await.unwrap().clone().unwrap()
    }

    /// The session that the build names, once it is there.
    pub(crate) async fn session(&self) -> Session {
        let id = self.outer().await.session;
        let mut sessions = self.state.sessions.subscribe();
        soon(sessions.wait_for(|all| all.contains_key(&id))).await.unwrap()[&id].clone()
    }

    /// Ends the outer solve, whatever else is under way.
    pub(crate) fn give_up(&self, why: &Status) {
        let error = rpc::Status { code: why.code().into(), message: why.message().to_owned(), details: Vec::new() };
        self.shared.returned.send_replace(Some(ReturnRequest { result: None, error: Some(error) }));
    }

    /// Sends a message to whoever watches the build.
    pub(crate) async fn tell(&self, status: StatusResponse) {
        let sender = self.shared.status.lock().unwrap().clone();
        if let Some(sender) = sender {
            drop(sender.send(Ok(status)).await);
        }
    }

    /// Where to tell what comes after the build is over.
    pub(crate) fn last_words(&self) -> mpsc::Sender<Result<StatusResponse, Status>> {
        self.shared.status.lock().unwrap().clone().unwrap()
    }

    /// Ends the Status stream.
    pub(crate) fn fall_silent(&self) {
        self.shared.status.lock().unwrap().take();
    }
}

/// What an engine with one worker answers.
pub(crate) fn one_worker() -> ListWorkersResponse {
    let platform = |architecture: &str, variant: &str| Platform {
        os: "linux".to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
        ..Platform::default()
    };
    let worker = WorkerRecord {
        id: "worker".to_owned(),
        labels: [("org.mobyproject.buildkit.worker.snapshotter".to_owned(), "overlayfs".to_owned())].into(),
        platforms: vec![platform("amd64", ""), platform("arm", "v7")],
        buildkit_version: Some(BuildkitVersion { version: "v0.99.0".to_owned(), ..BuildkitVersion::default() }),
        ..WorkerRecord::default()
    };
    ListWorkersResponse { record: vec![worker] }
}
