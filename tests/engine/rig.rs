//! An engine handle at a fake engine, a client that lends a context, and what tests ask of them.

use std::{sync::Arc, time::Duration};

use remora::{
    engine::{Definition, Engine, Fault, Outcome, Outer, Solver, View},
    model::{
        BuildRequest, CacheKind, CacheRequest, Capabilities, Event, Export, Failure, Found, Graph, Network, RunOptions,
        SessionId,
    },
    session::{self, Attachables, Counters, Credentials, Lent, METHODS, Offer},
    strategy::{self, Exporter, Facts, Plan},
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::socket::{Daemon, Socket};

/// Longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// The future's output, which must come soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("it never comes")
}

/// A fake engine, and the engine room's handle on it.
pub(crate) struct Rig {
    pub(crate) socket: Socket,
    pub(crate) engine: Engine,
    pub(crate) capabilities: Arc<Capabilities>,
}

impl Rig {
    pub(crate) async fn new(daemon: impl Into<Daemon>) -> Self {
        let socket = Socket::listening(daemon);
        let engine = Engine::connect(socket.url.clone());
        let capabilities = engine.wait(LIMIT).await.unwrap();
        Self { socket, engine, capabilities }
    }

    /// Builds, and gives what came of it and every event.
    pub(crate) async fn build(&self, request: &BuildRequest) -> (Result<Outcome, Failure>, Vec<Event>) {
        self.build_with(request, &Client::lend(&[]).await.lent).await
    }

    pub(crate) async fn build_with(
        &self,
        request: &BuildRequest,
        lent: &Lent,
    ) -> (Result<Outcome, Failure>, Vec<Event>) {
        let (events, mut received) = mpsc::channel(16);
        let building = async {
            let outcome = self.builder().build(&new_id(), request, lent, &events).await;
            drop(events);
            outcome
        };
        let receiving = async {
            let mut all = Vec::new();
            while let Some(event) = received.recv().await {
                all.push(event);
            }
            all
        };
        soon(async { tokio::join!(building, receiving) }).await
    }

    /// What builds, for a task of its own.
    pub(crate) fn builder(&self) -> Builder {
        Builder { engine: self.engine.clone(), capabilities: Arc::clone(&self.capabilities) }
    }
}

/// Builds as the agent's service does, without what goes on beside it. Its registries have every cache ref.
#[derive(Clone)]
pub(crate) struct Builder {
    engine: Engine,
    capabilities: Arc<Capabilities>,
}

impl Builder {
    pub(crate) async fn build(
        &self,
        id: &str,
        request: &BuildRequest,
        lent: &Lent,
        events: &mpsc::Sender<Event>,
    ) -> Result<Outcome, Failure> {
        let work = Box::pin(async {
            let solver = self.engine.solver(lent).await?;
            let (view, over) = (View::default(), CancellationToken::new());
            let work = async {
                let done = self.solve(&solver, id, request).await;
                over.cancel();
                done
            };
            let (done, ()) = tokio::join!(work, solver.watch(id, &view, events, &over));
            match done {
                Ok(done) => Ok(done),
                Err(fault) => Err(solver.failure(&fault, &view).await),
            }
        });
        self.engine.while_it_answers(work).await
    }

    async fn solve(&self, solver: &Solver, id: &str, request: &BuildRequest) -> Result<Outcome, Fault> {
        let output = self.plan(request, None).output;
        let outer = Outer {
            exporter: output.exporter.as_ref(),
            cache_exports: vec![Exporter { kind: "inline", attrs: [].into() }],
            entitlements: &output.entitlements,
            platforms: &request.platforms,
            internal: false,
            ..Outer::default()
        };
        let solve = solver.start(id, &outer)?;
        let made = match solve.dockerfile(request, &[]).await {
            Ok(made) => {
                let imports = self.plan(request, made.definition.as_ref().map(Definition::graph)).cache.imports;
                match &made.definition {
                    Some(definition) => solve.define(definition, None, &imports).await.map(|part| made.with(part)),
                    None if imports.is_empty() => Ok(made),
                    None => solve.dockerfile(request, &imports).await,
                }
            }
            Err(fault) => Err(fault),
        };
        solve.export(made).await
    }

    fn plan(&self, request: &BuildRequest, graph: Option<&Graph>) -> Plan {
        let allowed = ["network.host".to_owned()];
        let insecure = ["plain.example.com".to_owned()];
        let facts = Facts { request, capabilities: &self.capabilities, allowed: &allowed, insecure: &insecure };
        let scopes = strategy::scopes(&request.cache);
        let question = strategy::question(facts, &scopes, graph);
        let found = question.candidates.iter().map(|candidate| {
            let digest = digest_at(&candidate.reference.to_string());
            (candidate.clone(), Found::Cache { digest, kind: CacheKind::Inline, created: None })
        });
        let found = found.collect();
        strategy::plan(facts, scopes, question, found, &[].into()).unwrap()
    }
}

/// What the registries have at a ref.
pub(crate) fn digest_at(reference: &str) -> String {
    sha256(reference.as_bytes())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |digest, byte| format!("{digest}{byte:02x}"))
}

pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A build that asks for nothing.
pub(crate) fn request() -> BuildRequest {
    BuildRequest {
        session: SessionId(new_id()),
        dockerfile: "Dockerfile".to_owned(),
        remote: None,
        dockerfile_lent: false,
        contexts: [].into(),
        tags: Vec::new(),
        target: None,
        build_args: [].into(),
        labels: [].into(),
        no_cache: false,
        pull: false,
        platforms: Vec::new(),
        network: Network::Default,
        cache_from: Vec::new(),
        cache: CacheRequest::default(),
        no_cache_stages: Vec::new(),
        run: RunOptions::default(),
        entitlements: Vec::new(),
        export: Export::Image,
        export_options: [].into(),
        annotations: Vec::new(),
        attestations: [].into(),
        subrequest: None,
        push: false,
        load: false,
        raw_status: false,
        provenance: None,
        wait: LIMIT,
    }
}

/// A client that lends a directory.
pub(crate) struct Client {
    pub(crate) lent: Lent,
    pub(crate) counters: Arc<Counters>,
    _context: TempDir,
}

impl Client {
    pub(crate) async fn lend(files: &[(&str, &[u8])]) -> Self {
        let context = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(context.path().join(name), content).unwrap();
        }
        let counters = Arc::default();
        let attachables = attachables(&context, Arc::clone(&counters));
        let (near, far) = tokio::io::duplex(64 << 10);
        tokio::spawn(session::serve(far, attachables));
        Self { lent: Lent::open(near, offer()).await.unwrap(), counters, _context: context }
    }
}

/// What a client of this context lends. Its Docker configuration is in the context too.
pub(crate) fn attachables(context: &TempDir, counters: Arc<Counters>) -> Attachables {
    let path = context.path().to_owned();
    Attachables {
        dirs: [("context".to_owned(), path.clone().into()), ("dockerfile".to_owned(), path.clone().into())].into(),
        credentials: Credentials::from_file(path.join("config.json")),
        counters,
        ..Attachables::default()
    }
}

pub(crate) fn offer() -> Offer {
    let methods = METHODS.iter().map(|&method| method.to_owned()).collect();
    Offer { methods, shared_key: "the same directory".to_owned() }
}
