//! Drives `BuildKit`'s solves: an outer one that exports, and within it the gateway calls that make the result.
//!
//! The solves of one build share a connection and a session, so that an operation that several of them need is done
//! once. Dropping a [`Solve`] cancels it, dropping the [`Solver`] all of them: the connection closes, and the engine
//! stops the steps.

use std::{collections::BTreeMap, time::Duration};

use bollard_buildkit_proto::moby::buildkit::v1::{
    SolveResponse,
    control_client::ControlClient,
    frontend::{self, EvaluateRequest, ReturnRequest, StatFileRequest, llb_bridge_client::LlbBridgeClient},
};
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
};

use super::{
    Definition, Engine, Error, Outer, View, ask,
    attach::{self, Attachment},
    dial::{Grpc, LARGEST_MESSAGE},
    error::cause,
    fault, probe,
};
use crate::{
    grpc::Channel,
    model::{Answer, BuildRequest, EngineUrl, Failure, Reference, Subrequest},
    session::Lent,
};

/// How long an engine may take to show that it is still there.
const STILL_THERE: Duration = Duration::from_secs(5);

/// What a solve left.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What the exporter answered, such as `containerimage.digest`.
    pub exporter: BTreeMap<String, String>,
}

/// Why a solve failed, in the engine's words. [`Solver::failure`] makes sense of it.
#[derive(Debug)]
pub struct Fault(Box<Status>);

impl Fault {
    /// Whether a frontend says that it does not know what it was asked.
    pub fn is_unsupported(&self) -> bool {
        let words = self.0.message();
        self.0.code() == Code::Unimplemented
            || words.contains("unsupported request")
            || words.contains("unsupported frontend capability")
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self(Box::new(status))
    }
}

/// A connection of one build to the engine, with the client's session.
pub struct Solver {
    url: EngineUrl,
    pub(super) channel: Channel,
    session: Attachment,
    inputs: ask::Inputs,
    connection: Grpc,
}

impl Engine {
    /// Opens a connection for one build.
    pub async fn solver(&self, lent: &Lent) -> Result<Solver, Failure> {
        let connection = self.grpc().await?;
        let session = attach::attach(&self.url, &connection, lent.clone())?;
        let (url, channel) = (self.url.clone(), connection.channel.clone());
        let inputs = ask::inputs(lent.checkouts(), &session.id);
        Ok(Solver { url, channel, session, inputs, connection })
    }
}

/// The result that a frontend made.
#[derive(Debug, Clone)]
pub struct Made {
    result: frontend::Result,
    /// What it is made of; `None` where the result has several parts, or is none that we can read.
    pub definition: Option<Definition>,
}

impl Made {
    fn read(result: frontend::Result) -> Self {
        let definition = match &result.result {
            Some(frontend::result::Result::Ref(single)) => single.def.clone().and_then(Definition::read),
            _ => None,
        };
        Self { result, definition }
    }

    /// The config of the image that it will be, as JSON; the layers are not in it yet.
    pub fn config(&self) -> Option<&[u8]> {
        self.result.metadata.get("containerimage.config").map(Vec::as_slice)
    }

    /// The same with a result that is to take its place.
    #[must_use]
    pub fn with(&self, made: Part) -> Self {
        let single = frontend::Ref { id: made.0, def: None };
        let result = Some(frontend::result::Result::Ref(single));
        Self { result: frontend::Result { result, ..self.result.clone() }, definition: None }
    }
}

/// The result of a definition: a file system that is made when something needs it.
#[derive(Debug, Clone)]
pub struct Part(String);

impl From<Part> for Made {
    fn from(part: Part) -> Self {
        let single = frontend::Ref { id: part.0, def: None };
        let result = Some(frontend::result::Result::Ref(single));
        Self { result: frontend::Result { result, ..frontend::Result::default() }, definition: None }
    }
}

impl Solver {
    /// Starts a solve. It exports what [`Solve::export`] gives it.
    pub fn start(&self, id: &str, outer: &Outer<'_>) -> Result<Solve, Fault> {
        let build_id = id.parse().map_err(|_| Status::internal("a build id that is no header value"))?;
        let request = ask::outer_request(id, &self.session.id, outer);
        let mut control = ControlClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let outer = tokio::spawn(async move {
            let _guard = guard;
            control.solve(request).await.map(tonic::Response::into_inner)
        });
        let channel = InterceptedService::new(self.channel.clone(), Tag(build_id));
        let bridge = LlbBridgeClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
        Ok(Solve { bridge, ended, outer: AbortOnDrop(outer), inputs: self.inputs.clone() })
    }

    /// Does a definition, or its part that ends at one node of its graph, and exports it: a solve by itself.
    pub async fn run(
        &self,
        outer: &Outer<'_>,
        definition: &Definition,
        until: Option<usize>,
        imports: &[(Reference, bool)],
    ) -> Result<Outcome, Fault> {
        let part = definition.part(until)?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let request = ask::whole_request(&id, &self.session.id, outer, part, imports);
        let mut control = ControlClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        let solved = control.solve(request).await?.into_inner();
        Ok(Outcome { exporter: solved.exporter_response.into_iter().collect() })
    }

    /// Has the engine read these blobs, by their digests, through the session. It waits for those that it wants before.
    pub fn lend(&self, blobs: impl IntoIterator<Item = (String, Bytes)>) {
        self.session.lend(blobs);
    }

    /// What it means that a solve failed, to the person who started it. What happened should have been watched before.
    pub async fn failure(&self, fault: &Fault, view: &View) -> Failure {
        let status = fault.0.as_ref();
        // It comes from our own end of the connection, not from the engine.
        if std::error::Error::source(status).is_some() {
            return Error::broken(&self.url, cause(status)).into();
        }
        // So say a frontend, a registry and the session too, and the engine passes it on.
        let is_gone = status.code() == Code::Unavailable && !self.answers().await;
        fault::failure(status, &view.translator(), is_gone)
    }

    /// What was said of it, for where nothing hangs on whose failure it is.
    pub fn words(&self, fault: &Fault) -> String {
        let status = fault.0.as_ref();
        match std::error::Error::source(status) {
            Some(_) => Error::broken(&self.url, cause(status)).to_string(),
            None => fault::clean(status.message()),
        }
    }

    /// Whether the engine still does, here and on a new connection: one that shuts down takes no new one.
    async fn answers(&self) -> bool {
        let asked = async {
            probe::alive(&self.connection).await?;
            probe::alive(&Grpc::connect(&self.url, self.connection.transport).await?).await
        };
        matches!(tokio::time::timeout(STILL_THERE, asked).await, Ok(Ok(())))
    }
}

type Bridge = LlbBridgeClient<InterceptedService<Channel, Tag>>;

/// Says of each call of the gateway which solve it belongs to.
#[derive(Clone)]
struct Tag(MetadataValue<Ascii>);

impl Interceptor for Tag {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        request.metadata_mut().insert("buildkit-controlapi-buildid", self.0.clone());
        Ok(request)
    }
}

struct AbortOnDrop(JoinHandle<Result<SolveResponse, Status>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One solve that runs.
pub struct Solve {
    bridge: Bridge,
    /// Cancelled when the outer solve has ended.
    ended: CancellationToken,
    outer: AbortOnDrop,
    inputs: ask::Inputs,
}

impl Solve {
    /// Has the Dockerfile frontend make the result. Nothing of it is done yet.
    pub async fn dockerfile(&self, request: &BuildRequest, imports: &[(Reference, bool)]) -> Result<Made, Fault> {
        let response = self.solve(ask::frontend_request(request, self.inputs.clone(), imports)).await?;
        Ok(Made::read(response.result.unwrap_or_default()))
    }

    /// What the Dockerfile frontend says of that; `None` where it is an old one, which took it for a build. Nothing of it
    /// is done.
    pub async fn ask(&self, request: &BuildRequest, subrequest: Subrequest) -> Result<Option<Answer>, Fault> {
        let response = self.solve(ask::subrequest(request, self.inputs.clone(), subrequest)).await?;
        let mut metadata = response.result.unwrap_or_default().metadata;
        let mut text = |key: &str| Some(String::from_utf8_lossy(&metadata.remove(key)?).into_owned());
        let status = text("result.statuscode").and_then(|status| status.parse().ok()).unwrap_or_default();
        let (said, json) = (text("result.txt"), text("result.json"));
        Ok(json.map(|json| Answer { text: said.unwrap_or_default(), json, status }))
    }

    /// Makes a result of the definition again, or of its part that ends at one node of its graph, with cache imports.
    /// Nothing of it is done yet.
    pub async fn define(
        &self,
        definition: &Definition,
        until: Option<usize>,
        imports: &[(Reference, bool)],
    ) -> Result<Part, Fault> {
        self.make(ask::definition_request(definition.part(until)?, ask::in_registries(imports))).await
    }

    /// The same of a whole definition, with caches that were [lent](Solver::lend), by their digests.
    pub async fn define_with_lent<'c>(
        &self,
        definition: &Definition,
        caches: impl IntoIterator<Item = &'c str>,
    ) -> Result<Part, Fault> {
        let caches = caches.into_iter().map(ask::in_session).collect();
        self.make(ask::definition_request(definition.part(None)?, caches)).await
    }

    async fn make(&self, request: frontend::SolveRequest) -> Result<Part, Fault> {
        let response = self.solve(request).await?;
        match response.result.and_then(|result| result.result) {
            Some(frontend::result::Result::Ref(single)) => Ok(Part(single.id)),
            _ => Err(Status::internal("the engine made no single result").into()),
        }
    }

    /// Has a result done, and its layers brought here.
    pub async fn load(&self, part: &Part) -> Result<(), Fault> {
        let request = StatFileRequest { r#ref: part.0.clone(), path: "/".to_owned(), ..StatFileRequest::default() };
        let mut bridge = self.bridge.clone();
        self.unless_ended(bridge.stat_file(request)).await.map(drop)
    }

    /// Has a result done. What is cached elsewhere need not come here for it, where the engine knows that.
    pub async fn evaluate(&self, part: &Part) -> Result<(), Fault> {
        let request = EvaluateRequest { r#ref: part.0.clone() };
        let mut bridge = self.bridge.clone();
        match self.unless_ended(bridge.evaluate(request)).await {
            Err(Fault(status)) if status.code() == Code::Unimplemented => self.load(part).await,
            done => done.map(drop),
        }
    }

    /// Ends it, and waits until the engine has let go of all that it did for it alone.
    pub async fn stop(self) {
        drop(self.export(Err(Status::cancelled("nothing more is wanted of it").into())).await);
    }

    /// Hands the result over for the export, and waits for its end.
    pub async fn export(self, made: Result<Made, Fault>) -> Result<Outcome, Fault> {
        let Self { mut bridge, mut outer, ended, .. } = self;
        // What came to an end by itself says why, and the call that met it does not.
        let refused = ended.is_cancelled();
        let answer = match &made {
            Ok(made) => ReturnRequest { result: Some(made.result.clone()), error: None },
            Err(fault) => ReturnRequest { result: None, error: Some(ask::rpc_status(&fault.0)) },
        };
        // The outer solve lasts until it is given a result, and then exports it. It may be done before it is said that
        // the result was taken, and tells why where it was not.
        let exported = tokio::select! {
            exported = &mut outer.0 => exported,
            _ = bridge.r#return(answer) => (&mut outer.0).await,
        };
        let exported = exported.unwrap_or_else(|_| Err(Status::cancelled("the solve was dropped")));
        // Else the error of what was to be exported is the cause, and has the details.
        if !refused {
            made?;
        }
        Ok(Outcome { exporter: exported?.exporter_response.into_iter().collect() })
    }

    async fn solve(&self, request: frontend::SolveRequest) -> Result<frontend::SolveResponse, Fault> {
        let mut bridge = self.bridge.clone();
        self.unless_ended(bridge.solve(request)).await
    }

    async fn unless_ended<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Fault> {
        tokio::select! {
            biased;
            done = call => Ok(done?.into_inner()),
            () = self.ended.cancelled() => Err(Status::aborted("the solve has ended").into()),
        }
    }
}
