//! How a build came about, as the engine's history of builds has it: SLSA provenance.

use std::{collections::BTreeMap, time::Duration};

use bollard_buildkit_proto::moby::buildkit::v1::{
    BuildHistoryRequest, BuildResultInfo, Descriptor, control_client::ControlClient,
};
use http::uri::PathAndQuery;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::{Fault, Solver, dial::LARGEST_MESSAGE};
use crate::{
    model::Provenance,
    session::{
        content::{ReadRequest, ReadResponse},
        methods,
    },
};

/// How long a finished build may wait for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that are read for one build.
const LARGEST: usize = 16 << 20;

const IN_TOTO: &str = "application/vnd.in-toto+json";
const PREDICATE: &str = "in-toto.io/predicate-type";
const V1: &str = "https://slsa.dev/provenance/v1";
/// What the predicates of `BuildKit` are of.
const BUILD_TYPE: &str = "https://mobyproject.org/buildkit@v1";

impl Solver {
    /// The provenance of the solve of this id, once it has ended: predicates of SLSA v0.2, as `docker buildx build` writes
    /// them, by platform, or under no name where there is one result. Empty where the engine keeps no history, as
    /// Docker 20.10, and where the solve made no result.
    pub async fn provenance(&self, id: &str, detail: Provenance) -> Result<BTreeMap<String, Value>, Fault> {
        match tokio::time::timeout(PATIENCE, self.recorded(id)).await {
            Ok(Ok(mut found)) => {
                if detail == Provenance::Min {
                    found.values_mut().for_each(shorten);
                }
                Ok(found)
            }
            Ok(Err(status)) if status.code() == Code::Unimplemented => Ok(BTreeMap::new()),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(Status::deadline_exceeded("the engine took too long to tell").into()),
        }
    }

    async fn recorded(&self, id: &str) -> Result<BTreeMap<String, Value>, Status> {
        let mut control = ControlClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        let request = BuildHistoryRequest { r#ref: id.to_owned(), early_exit: true, ..BuildHistoryRequest::default() };
        let mut events = control.listen_build_history(request).await?.into_inner();
        let (mut found, mut left) = (BTreeMap::new(), LARGEST);
        while let Some(event) = events.message().await? {
            let Some(record) = event.record else { continue };
            let one = record.result.filter(|_| record.results.is_empty()).map(|result| (String::new(), result));
            for (platform, result) in record.results.into_iter().chain(one) {
                let Some(descriptor) = attested(&result) else { continue };
                let blob = self.blob(&descriptor.digest, left).await?;
                left -= blob.len();
                let predicate = serde_json::from_slice(&blob)
                    .map_err(|error| Status::internal(format!("it is no JSON: {error}")))?;
                let is_v1 = descriptor.annotations.get(PREDICATE).is_some_and(|kind| kind == V1);
                found.insert(platform, if is_v1 { older(&predicate) } else { predicate });
            }
        }
        Ok(found)
    }

    /// A blob of the engine's content store, if it has no more bytes than that.
    async fn blob(&self, digest: &str, most: usize) -> Result<Vec<u8>, Status> {
        let mut store = tonic::client::Grpc::new(self.channel.clone());
        store.ready().await.map_err(|_| Status::unavailable("the connection to the engine is over"))?;
        let request = tonic::Request::new(ReadRequest { digest: digest.to_owned(), offset: 0, size: 0 });
        let codec = ProstCodec::<ReadRequest, ReadResponse>::default();
        let path = PathAndQuery::from_static(methods::BLOB_READ);
        let mut pieces = store.server_streaming(request, path, codec).await?.into_inner();
        let mut blob = Vec::new();
        while let Some(piece) = pieces.message().await? {
            if blob.len() + piece.data.len() > most {
                return Err(Status::resource_exhausted(format!("it has more than {LARGEST} bytes")));
            }
            blob.extend_from_slice(&piece.data);
        }
        Ok(blob)
    }
}

fn attested(result: &BuildResultInfo) -> Option<&Descriptor> {
    let of = |kind: &String| kind.starts_with("https://slsa.dev/provenance/");
    result
        .attestations
        .iter()
        .find(|of_it| of_it.media_type == IN_TOTO && of_it.annotations.get(PREDICATE).is_some_and(of))
}

/// Leaves out the steps, and when they ran.
fn shorten(predicate: &mut Value) {
    if let Value::Object(predicate) = predicate {
        predicate.remove("buildConfig");
        predicate.remove("metadata");
    }
}

/// A predicate of SLSA v1 in the words of v0.2.
fn older(predicate: &Value) -> Value {
    let (definition, run) = (&predicate["buildDefinition"], &predicate["runDetails"]);
    let (asked, told) = (&definition["externalParameters"], &run["metadata"]);
    let material = |of: &Value| object([("uri", of["uri"].clone()), ("digest", of["digest"].clone())]);
    let materials = definition["resolvedDependencies"].as_array().map(|all| all.iter().map(material).collect());
    let source = &asked["configSource"];
    let mut environment = definition["internalParameters"].as_object().cloned().unwrap_or_default();
    let steps = environment.remove("buildConfig").unwrap_or_default();
    let platform = environment.remove("builderPlatform").unwrap_or_default();
    environment.insert("platform".to_owned(), platform);
    let is = |flag: &Value| flag.as_bool().unwrap_or_default();
    let complete = &told["buildkit_completeness"];
    let metadata = told.is_object().then(|| {
        object([
            ("buildInvocationID", told["invocationId"].clone()),
            ("buildStartedOn", told["startedOn"].clone()),
            ("buildFinishedOn", told["finishedOn"].clone()),
            (
                "completeness",
                json!({
                    "parameters": is(&complete["request"]),
                    "environment": true,
                    "materials": is(&complete["resolvedDependencies"]),
                }),
            ),
            ("reproducible", is(&told["buildkit_reproducible"]).into()),
            ("https://mobyproject.org/buildkit@v1#hermetic", told["buildkit_hermetic"].clone()),
            ("https://mobyproject.org/buildkit@v1#metadata", told["buildkit_metadata"].clone()),
        ])
    });
    object([
        ("builder", json!({ "id": run["builder"]["id"].as_str().unwrap_or_default() })),
        ("buildType", BUILD_TYPE.into()),
        ("materials", materials.unwrap_or_default()),
        (
            "invocation",
            json!({
                "configSource": object([
                    ("uri", source["uri"].clone()),
                    ("digest", source["digest"].clone()),
                    ("entryPoint", source["path"].clone()),
                ]),
                "parameters": asked["request"],
                "environment": environment,
            }),
        ),
        ("buildConfig", steps),
        ("metadata", metadata.unwrap_or_default()),
    ])
}

/// An object of what is there.
fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let there = entries.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(there.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}
