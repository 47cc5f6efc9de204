//! Results of a definition: made again with cache imports, in parts, and what becomes of those that fail.

use bollard_buildkit_proto::{
    moby::buildkit::v1::{
        StatusResponse, Vertex, VertexStatus,
        frontend::{self, ReturnRequest},
    },
    pb::{self, op},
};
use prost::Message as _;
use remora::{
    engine::{Fault, Outer, Solver, View},
    model::{BuildRequest, FailureKind, NodeState, Seen as Known},
    strategy::Exporter,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    fake::{Build, BuildKit, Seen},
    progress::{log, of, vertex},
    rig::{Client, Rig, digest_at, request, sha256, soon},
};

const BUILDER: &str = "[builder 2/2] RUN make";

/// Where the definition has the builder's step.
pub(crate) const RUN: usize = 1;
/// Where it has the result.
pub(crate) const RESULT: usize = 3;

/// The digest of a definition's operation.
fn digest(definition: &pb::Definition, number: usize) -> String {
    sha256(&definition.def[number])
}

/// A base, a step of the stage `builder` on it, another base, a copy of the step's files into it, and the end.
pub(crate) fn definition() -> pb::Definition {
    let to = |bytes: &[u8]| pb::Input { digest: sha256(bytes), index: 0 };
    let op = |inputs, op| pb::Op { inputs, op: Some(op), ..pb::Op::default() }.encode_to_vec();
    let image = |name: &str| {
        let identifier = format!("docker-image://docker.io/library/{name}:1");
        op(vec![], op::Op::Source(pb::SourceOp { identifier, ..pb::SourceOp::default() }))
    };
    let (base, slim) = (image("base"), image("slim"));
    let root = pb::Mount { dest: "/".to_owned(), ..pb::Mount::default() };
    let run = op(vec![to(&base)], op::Op::Exec(pb::ExecOp { mounts: vec![root], ..pb::ExecOp::default() }));
    let copy = pb::FileAction { input: 0, secondary_input: 1, ..pb::FileAction::default() };
    let result = op(vec![to(&slim), to(&run)], op::Op::File(pb::FileOp { actions: vec![copy] }));
    let end = pb::Op { inputs: vec![to(&result)], ..pb::Op::default() }.encode_to_vec();
    let named = |bytes: &[u8], name: &str| {
        let description = [("llb.customname".to_owned(), name.to_owned())].into();
        (sha256(bytes), pb::OpMetadata { description, ..pb::OpMetadata::default() })
    };
    let metadata = [named(&run, BUILDER), named(&result, "[stage-1 2/2] COPY --from=builder /out /out")].into();
    pb::Definition { def: vec![base, run, slim, result, end], metadata, source: None }
}

/// What the engine says of an operation of the definition.
pub(crate) fn told(number: usize, started: i64, completed: Option<i64>) -> Vertex {
    let definition = definition();
    let digest = digest(&definition, number);
    let name = definition.metadata.get(&digest).map(|m| m.description["llb.customname"].clone()).unwrap_or_default();
    Vertex { digest, ..vertex(&name, started, completed) }
}

/// All that the gateway was asked to solve.
fn solved(fake: &BuildKit) -> Vec<frontend::SolveRequest> {
    let solve = |seen| if let Seen::Frontend { request, .. } = seen { Some(request) } else { None };
    fake.seen().into_iter().filter_map(solve).collect()
}

async fn returned(fake: &BuildKit) -> ReturnRequest {
    fake.see(|seen| if let Seen::Returned(request) = seen { Some(request.clone()) } else { None }).await
}

/// The id of a result, and its image's config.
fn exported(returned: ReturnRequest) -> (String, Vec<u8>) {
    let result = returned.result.unwrap();
    let Some(frontend::result::Result::Ref(single)) = result.result else { panic!("{result:?}") };
    (single.id, result.metadata.get("containerimage.config").cloned().unwrap_or_default())
}

async fn build(fake: &BuildKit, request: &BuildRequest) {
    Rig::new(fake.clone()).await.build(request).await.0.unwrap();
}

#[tokio::test]
async fn the_cache_of_a_definition_is_named_where_the_engine_looks_for_it() {
    let fake = BuildKit::new().definition(definition());
    let cache_from = ["r.example.com/app:main", "plain.example.com/app:1"].map(|tag| tag.parse().unwrap()).to_vec();
    build(&fake, &BuildRequest { cache_from, ..request() }).await;
    let solved = solved(&fake);
    let [by_frontend, by_definition] = solved.as_slice() else { panic!("{solved:?}") };
    assert!(!by_frontend.frontend_opt.contains_key("cache-imports"), "the frontend would wait for them");
    assert_eq!((by_definition.frontend.as_str(), by_definition.frontend_opt.len()), ("", 0));
    assert_eq!(by_definition.definition, Some(definition()));
    let imports: Vec<_> =
        by_definition.cache_imports.iter().map(|import| (import.r#type.as_str(), &import.attrs)).collect();
    let at = |name: &str, tag: &str| ("ref".to_owned(), format!("{name}@{}", digest_at(&format!("{name}:{tag}"))));
    let insecure = ("registry.insecure".to_owned(), "true".to_owned());
    let one = [at("r.example.com/app", "main")].into();
    let other = [at("plain.example.com/app", "1"), insecure].into();
    assert_eq!(imports, [("registry", &one), ("registry", &other)]);
}

#[tokio::test]
async fn an_image_that_is_made_of_its_definition_keeps_its_config() {
    let fake = BuildKit::new().definition(definition());
    build(&fake, &request()).await;
    assert_eq!(exported(returned(&fake).await), ("5 of the definition".to_owned(), b"{}".to_vec()));
}

#[tokio::test]
async fn a_definition_that_makes_no_sense_to_us_is_built_by_the_frontend() {
    let unknown_input = pb::Definition { def: definition().def[1..].to_vec(), ..definition() };
    let garbage = pb::Definition { def: vec![vec![0xff; 10]], ..pb::Definition::default() };
    for odd in [unknown_input, garbage, pb::Definition::default()] {
        let fake = BuildKit::new().definition(odd);
        let cache_from = vec!["r.example.com/app:main".parse().unwrap()];
        build(&fake, &BuildRequest { cache_from, ..request() }).await;
        assert_eq!(exported(returned(&fake).await), ("made".to_owned(), b"{}".to_vec()));
        let solved = solved(&fake);
        assert!(solved.last().unwrap().frontend_opt.contains_key("cache-imports"), "it has its cache all the same");
    }
}

/// A connection for one build.
struct Connected {
    solver: Solver,
    _client: Client,
    rig: Rig,
}

async fn connected(fake: &BuildKit) -> Connected {
    let (rig, client) = (Rig::new(fake.clone()).await, Client::lend(&[]).await);
    let solver = rig.engine.solver(&client.lent).await.unwrap();
    Connected { solver, _client: client, rig }
}

#[tokio::test]
async fn a_part_of_a_build_is_solved_and_exported_by_itself() {
    let fake = BuildKit::new().definition(definition());
    let connected = connected(&fake).await;
    let solver = &connected.solver;
    let main = solver.start("main", &Outer::default()).unwrap();
    let definition = main.dockerfile(&request(), &[]).await.unwrap().definition.unwrap();
    let part = solver.start("part", &Outer { internal: true, ..Outer::default() }).unwrap();
    let builder = part.define(&definition, Some(RUN), &[]).await.unwrap();
    soon(part.load(&builder)).await.unwrap();
    let loaded = fake.see(|seen| if let Seen::Loaded { result } = seen { Some(result.clone()) } else { None }).await;
    assert_eq!(loaded, "3 of the definition");
    soon(part.export(Ok(builder.into()))).await.unwrap();
    let (id, config) = exported(returned(&fake).await);
    assert_eq!((id.as_str(), config.len()), ("3 of the definition", 0), "the base, the step and the end");
    let asked: Vec<(String, bool, String)> = fake
        .seen()
        .into_iter()
        .filter_map(|seen| if let Seen::Outer { request, .. } = seen { Some(request) } else { None })
        .map(|request| (request.r#ref, request.internal, request.session))
        .collect();
    let session = asked[0].2.clone();
    let expected = [("main", false), ("part", true)].map(|(id, internal)| (id.to_owned(), internal, session.clone()));
    assert_eq!(asked, expected, "they share a session, so that a step of both is done once");
    assert!(main.define(&definition, Some(9), &[]).await.is_err(), "it has no such part");
}

#[tokio::test]
async fn what_is_written_beside_a_build_is_one_call_with_its_own_cache_imports() {
    let fake = BuildKit::new().definition(definition());
    let connected = connected(&fake).await;
    let solver = &connected.solver;
    let main = solver.start("main", &Outer::default()).unwrap();
    let definition = main.dockerfile(&request(), &[]).await.unwrap().definition.unwrap();
    let exporter = Exporter { kind: "image", attrs: [("name".to_owned(), "r.example.com/app:x".to_owned())].into() };
    let outer = Outer { exporter: Some(&exporter), internal: true, ..Outer::default() };
    let imports = [("r.example.com/app:main".parse().unwrap(), true)];
    let outcome = soon(solver.run(&outer, &definition, Some(RUN), &imports)).await.unwrap();
    assert_eq!(outcome.exporter["containerimage.digest"], "sha256:abc");
    let written = fake.see(|seen| match seen {
        Seen::Outer { request, .. } if request.definition.is_some() => Some(request.clone()),
        _ => None,
    });
    let written = written.await;
    assert_eq!((written.definition.unwrap().def.len(), written.internal), (3, true), "the base, the step and the end");
    assert_eq!(written.exporters[0].attrs["name"], "r.example.com/app:x");
    let [import] = &written.cache.unwrap().imports[..] else { panic!() };
    assert_eq!((import.r#type.as_str(), import.attrs["ref"].as_str()), ("registry", "r.example.com/app:main"));
    assert_eq!(import.attrs["registry.insecure"], "true");
    let session =
        fake.see(|seen| if let Seen::Outer { request, .. } = seen { Some(request.session.clone()) } else { None });
    assert_eq!(written.session, session.await, "its steps may need what the client lends");
    assert!(solver.run(&outer, &definition, Some(9), &[]).await.is_err(), "it has no such part");
}

#[tokio::test]
async fn an_engine_that_cannot_evaluate_a_result_is_asked_for_a_file_of_it() {
    for (fake, old) in [(BuildKit::new(), false), (BuildKit::new().old(), true)] {
        let fake = fake.definition(definition());
        let connected = connected(&fake).await;
        let solve = connected.solver.start("main", &Outer::default()).unwrap();
        let made = solve.dockerfile(&request(), &[]).await.unwrap();
        let part = solve.define(made.definition.as_ref().unwrap(), None, &[]).await.unwrap();
        soon(solve.evaluate(&part)).await.unwrap();
        let done = fake.see(|seen| match seen {
            Seen::Evaluated { result } => Some((result.clone(), false)),
            Seen::Loaded { result } => Some((result.clone(), true)),
            _ => None,
        });
        assert_eq!(done.await, ("5 of the definition".to_owned(), old));
    }
}

/// What a fault means once the build's events were seen.
async fn explained(connected: &Connected, fake: &BuildKit, id: &str, fault: Fault) -> remora::model::Failure {
    fake.build(id).fall_silent();
    let (events, _received) = mpsc::channel(64);
    let view = View::default();
    soon(connected.solver.watch(id, &view, &events, &CancellationToken::new())).await;
    connected.solver.failure(&fault, &view).await
}

/// The engine may end a solve at any moment: its words are the reason, not what the call that met it says.
#[tokio::test]
async fn a_build_that_the_engine_ends_fails_with_its_reason_wherever_it_is() {
    let ends = |build: Build| async move {
        build.give_up(&Status::invalid_argument("network.host is not allowed"));
        std::future::pending().await
    };
    let by_frontend = BuildKit::new().make(ends);
    let (outcome, _) = Rig::new(by_frontend).await.build(&request()).await;
    assert_eq!(outcome.unwrap_err().what, "network.host is not allowed");

    let fake = BuildKit::new().definition(definition()).load(ends);
    let connected = connected(&fake).await;
    let solve = connected.solver.start("main", &Outer::default()).unwrap();
    let made = solve.dockerfile(&request(), &[]).await.unwrap();
    let part = solve.define(made.definition.as_ref().unwrap(), None, &[]).await.unwrap();
    let fault = soon(solve.load(&part)).await.unwrap_err();
    let fault = soon(solve.export(Err(fault))).await.unwrap_err();
    let failure = explained(&connected, &fake, "main", fault).await;
    assert_eq!((failure.what.as_str(), failure.kind), ("network.host is not allowed", FailureKind::Policy));
}

#[tokio::test]
async fn a_result_that_comes_after_its_solve_has_ended_is_not_exported() {
    let fake = BuildKit::new().definition(definition());
    let connected = connected(&fake).await;
    let solve = connected.solver.start("main", &Outer::default()).unwrap();
    let made = solve.dockerfile(&request(), &[]).await.unwrap();
    fake.build("main").give_up(&Status::unknown("no space left on device"));
    let fault = soon(solve.export(Ok(made))).await.unwrap_err();
    let failure = explained(&connected, &fake, "main", fault).await;
    assert_eq!(failure.what, "no space left on device");
}

#[tokio::test]
async fn a_solve_that_is_dropped_stops_and_its_connection_serves_the_others() {
    let fake = BuildKit::new().definition(definition()).load(async |_| std::future::pending().await);
    let connected = connected(&fake).await;
    let [dropped, kept] = ["dropped", "kept"].map(|id| connected.solver.start(id, &Outer::default()).unwrap());
    let made = dropped.dockerfile(&request(), &[]).await.unwrap();
    let part = dropped.define(made.definition.as_ref().unwrap(), None, &[]).await.unwrap();
    tokio::select! {
        loaded = dropped.load(&part) => panic!("{loaded:?}"),
        () = fake.see(|seen| matches!(seen, Seen::Loaded { .. }).then_some(())) => {}
    }
    drop(dropped);
    let gone = fake.see(|seen| if let Seen::Dropped { build } = seen { Some(build.clone()) } else { None }).await;
    assert_eq!(gone, "dropped");
    let made = kept.dockerfile(&request(), &[]).await.unwrap();
    soon(kept.export(Ok(made))).await.unwrap();
    // The supervisor's is left.
    drop(connected.solver);
    connected.rig.socket.connections(1).await;
}

#[tokio::test]
async fn a_step_that_fails_before_the_export_is_shown_with_its_last_words() {
    let message = "process \"make\" did not complete successfully: exit code: 2";
    let fake = BuildKit::new().definition(definition()).load(move |build| async move {
        build.tell(of([vertex(BUILDER, 1, None)])).await;
        build.tell(log(BUILDER, "make: *** [all] Error 2\n")).await;
        build.tell(of([Vertex { error: "exit code: 2".to_owned(), ..vertex(BUILDER, 1, Some(2)) }])).await;
        Err(Status::unknown(message))
    });
    let connected = connected(&fake).await;
    let solve = connected.solver.start("main", &Outer::default()).unwrap();
    let made = solve.dockerfile(&request(), &[]).await.unwrap();
    let part = solve.define(made.definition.as_ref().unwrap(), None, &[]).await.unwrap();
    let fault = soon(solve.load(&part)).await.unwrap_err();
    let fault = soon(solve.export(Err(fault))).await.unwrap_err();
    assert_eq!(returned(&fake).await.error.unwrap().message, message, "the engine must not wait for a result");
    let failure = explained(&connected, &fake, "main", fault).await;
    assert_eq!((failure.kind, failure.step.as_str()), (FailureKind::Build, BUILDER));
    assert_eq!(failure.log, ["make: *** [all] Error 2"]);
}

fn layer(vertex: &Vertex, what: &str, done: bool) -> StatusResponse {
    let status = VertexStatus {
        vertex: vertex.digest.clone(),
        id: what.to_owned(),
        completed: vertex.completed.filter(|_| done),
        ..VertexStatus::default()
    };
    StatusResponse { statuses: vec![status], ..StatusResponse::default() }
}

#[tokio::test]
async fn what_is_seen_of_each_operation_follows_what_the_engine_says() {
    let fake = BuildKit::new().definition(definition());
    let connected = connected(&fake).await;
    let solve = connected.solver.start("main", &Outer::default()).unwrap();
    let definition = solve.dockerfile(&request(), &[]).await.unwrap().definition.unwrap();
    let graph = definition.graph();
    let view = View::default();
    let mut seen: watch::Receiver<Known> = view.seen();
    let (run, result) = (graph.nodes[RUN].digest.clone(), graph.nodes[RESULT].digest.clone());
    let telling = async {
        let build = fake.build("main");
        let mut until = async |status, reached: &dyn Fn(&Known) -> bool| {
            build.tell(status).await;
            soon(seen.wait_for(|seen| reached(seen))).await.unwrap().clone()
        };
        let known = until(of([told(RUN, 1, None)]), &|seen| seen.state(&run) == NodeState::Running).await;
        assert!(known.something_ran(graph) && known.link_is_idle());
        assert_eq!(known.state(&result), NodeState::Waiting);
        until(of([told(RUN, 1, Some(4))]), &|seen| seen.state(&run) == NodeState::Done { elapsed_ms: 3000 }).await;
        let cached = Vertex { cached: true, ..told(RESULT, 4, Some(4)) };
        until(of([cached.clone()]), &|seen| seen.state(&result) == NodeState::Cached).await;
        let known = until(layer(&cached, "pulling sha256:1", false), &|seen| !seen.link_is_idle()).await;
        assert!(known.pulled(&result).unwrap().iter().eq(["sha256:1"]));
        // It is loaded, as if it ran.
        let known = until(layer(&cached, "pulling sha256:1", true), &Known::link_is_idle).await;
        assert_eq!(known.state(&result), NodeState::Cached);
        let failed = Vertex { error: "exit code: 1".to_owned(), ..told(RUN, 5, Some(6)) };
        until(of([failed]), &|seen| seen.state(&run) == NodeState::Failed).await;
        build.fall_silent();
    };
    let ((events, _received), over) = (mpsc::channel(64), CancellationToken::new());
    soon(async { tokio::join!(telling, connected.solver.watch("main", &view, &events, &over)) }).await;
}
