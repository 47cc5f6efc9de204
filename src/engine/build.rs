//! Drives one build: an outer solve that exports, and within it the gateway calls that make the result.

use std::collections::{BTreeMap, HashMap};

use bollard_buildkit_proto::{
    google,
    moby::buildkit::v1::{
        CacheOptions, CacheOptionsEntry, Exporter, SolveRequest, SolveResponse, StatusRequest,
        control_client::ControlClient,
        frontend::{self, ReturnRequest, llb_bridge_client::LlbBridgeClient},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;

use super::{Engine, Error, attach, dial::LARGEST_MESSAGE, error::cause, fault, status::Translator};
use crate::{
    grpc::Channel,
    model::{BuildRequest, Event, Failure, Network, Reference},
    session::Lent,
    strategy::Plan,
};

/// What a build left.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What the exporter answered, such as `containerimage.digest`.
    pub exporter: BTreeMap<String, String>,
}

/// How long the engine may be silent before its last events, once the build itself has ended.
const LAST_EVENTS: std::time::Duration = std::time::Duration::from_secs(1);

impl Engine {
    /// Builds by the plan. Dropping the future cancels the build: its connection closes, and the engine stops its
    /// steps.
    pub async fn build(
        &self,
        id: &str,
        request: &BuildRequest,
        plan: &Plan,
        lent: &Lent,
        events: &mpsc::Sender<Event>,
    ) -> Result<Outcome, Failure> {
        let work = async {
            let connection = self.grpc().await?;
            let channel = connection.channel.clone();
            let session = attach::attach(&self.url, &connection, lent.clone())?;
            let mut translator = Translator::default();
            let over = CancellationToken::new();
            let solving = async {
                let solved = solve(channel.clone(), id, &session.id, request, plan).await;
                over.cancel();
                solved
            };
            let (solved, ()) = tokio::join!(solving, watch(channel.clone(), id, events, &mut translator, &over));
            match solved {
                Ok(response) => Ok(Outcome { exporter: response.exporter_response.into_iter().collect() }),
                // It comes from our own end of the connection, not from the engine.
                Err(status) if std::error::Error::source(&status).is_some() => {
                    Err(Error::broken(&self.url, cause(&status)).into())
                }
                Err(status) => Err(fault::failure(&status, &translator)),
            }
        };
        self.while_it_answers(Box::pin(work)).await
    }
}

/// Passes on what happens until the engine says that it was all, or is silent after the build is over.
async fn watch(
    channel: Channel,
    id: &str,
    events: &mpsc::Sender<Event>,
    translator: &mut Translator,
    over: &CancellationToken,
) {
    let silence = || async {
        over.cancelled().await;
        tokio::time::sleep(LAST_EVENTS).await;
    };
    let mut control = ControlClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    let call = control.status(StatusRequest { r#ref: id.to_owned() });
    let called = tokio::select! { called = call => called, () = silence() => return };
    // Where there is nothing to see, the solve tells why.
    let Ok(mut statuses) = called.map(tonic::Response::into_inner) else { return };
    loop {
        let next = tokio::select! { next = statuses.message() => next, () = silence() => return };
        let Ok(Some(status)) = next else { return };
        for event in translator.translate(status) {
            // Even where nobody listens, a failure will want to know the step.
            drop(events.send(event).await);
        }
    }
}

/// Solves: the Dockerfile frontend makes the result, and the outer solve exports it.
async fn solve(
    channel: Channel,
    id: &str,
    session: &str,
    request: &BuildRequest,
    plan: &Plan,
) -> Result<SolveResponse, tonic::Status> {
    let mut control = ControlClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
    let outer =
        async { control.solve(outer_request(id, session, request, plan)).await.map(tonic::Response::into_inner) };
    tokio::pin!(outer);
    let build_id: MetadataValue<_> =
        id.parse().map_err(|_| tonic::Status::internal("a build id that is no header value"))?;
    let tag = |mut request: tonic::Request<()>| {
        request.metadata_mut().insert("buildkit-controlapi-buildid", build_id.clone());
        Ok(request)
    };
    let channel = tonic::service::interceptor::InterceptedService::new(channel, tag);
    let mut bridge = LlbBridgeClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    let made = tokio::select! {
        refused = &mut outer => return refused,
        made = bridge.solve(frontend_request(request, plan)) => made.map(tonic::Response::into_inner),
    };
    let answer = match &made {
        Ok(response) => ReturnRequest { result: response.result.clone(), error: None },
        Err(status) => ReturnRequest { result: None, error: Some(rpc_status(status)) },
    };
    // The outer solve lasts until it is given a result, and then exports it. It may be done before it is said that the
    // result was taken, and tells why where it was not.
    let exported = tokio::select! {
        exported = &mut outer => exported,
        _ = bridge.r#return(answer) => outer.await,
    };
    // The frontend's error is the cause, and has the details.
    made.and(exported)
}

fn rpc_status(status: &tonic::Status) -> google::rpc::Status {
    google::rpc::Status { code: status.code() as i32, message: status.message().to_owned(), details: Vec::new() }
}

fn outer_request(id: &str, session: &str, request: &BuildRequest, plan: &Plan) -> SolveRequest {
    let exporter = plan.exporter.as_ref();
    let attrs = |e: &crate::strategy::Exporter| e.attrs.clone().into_iter().collect::<HashMap<_, _>>();
    SolveRequest {
        r#ref: id.to_owned(),
        session: session.to_owned(),
        // Docker 20.10 reads the first pair of fields, newer engines the last.
        exporter_deprecated: exporter.map(|e| e.kind.to_owned()).unwrap_or_default(),
        exporter_attrs_deprecated: exporter.map(attrs).unwrap_or_default(),
        exporters: exporter.map(|e| Exporter { r#type: e.kind.to_owned(), attrs: attrs(e) }).into_iter().collect(),
        cache: Some(CacheOptions {
            exports: vec![CacheOptionsEntry { r#type: "inline".to_owned(), attrs: HashMap::new() }],
            ..CacheOptions::default()
        }),
        entitlements: plan.entitlements.clone(),
        // The result's platforms are checked against these.
        frontend_attrs: platform_attr(request).collect(),
        ..SolveRequest::default()
    }
}

fn frontend_request(request: &BuildRequest, plan: &Plan) -> frontend::SolveRequest {
    frontend::SolveRequest {
        frontend: "dockerfile.v0".to_owned(),
        frontend_opt: frontend_attrs(request, plan),
        allow_result_return: true,
        allow_result_array_ref: true,
        ..frontend::SolveRequest::default()
    }
}

fn platform_attr(request: &BuildRequest) -> impl Iterator<Item = (String, String)> {
    let platforms = (!request.platforms.is_empty()).then(|| request.platforms.join(","));
    platforms.into_iter().map(|platforms| ("platform".to_owned(), platforms))
}

fn frontend_attrs(request: &BuildRequest, plan: &Plan) -> HashMap<String, String> {
    let mut attrs: HashMap<_, _> = platform_attr(request).collect();
    let mut set = |key: &str, value: String| attrs.insert(key.to_owned(), value);
    set("filename", request.dockerfile.clone());
    if let Some(target) = &request.target {
        set("target", target.clone());
    }
    for (key, value) in &request.build_args {
        set(&format!("build-arg:{key}"), value.clone());
    }
    for (key, value) in &request.labels {
        set(&format!("label:{key}"), value.clone());
    }
    if request.no_cache {
        // Without a list of stages it means all of them.
        set("no-cache", String::new());
    }
    if request.pull {
        set("image-resolve-mode", "pull".to_owned());
    }
    match request.network {
        Network::Default => {}
        Network::None => drop(set("force-network-mode", "none".to_owned())),
        Network::Host => drop(set("force-network-mode", "host".to_owned())),
    }
    if !plan.imports.is_empty() && !request.no_cache {
        let imports: Vec<_> = plan.imports.iter().map(|(reference, insecure)| import(reference, *insecure)).collect();
        set("cache-imports", serde_json::Value::from(imports).to_string());
    }
    attrs
}

fn import(reference: &Reference, insecure: bool) -> serde_json::Value {
    let mut attrs = serde_json::json!({ "ref": reference.to_string() });
    if insecure {
        attrs["registry.insecure"] = "true".into();
    }
    serde_json::json!({ "Type": "registry", "Attrs": attrs })
}
