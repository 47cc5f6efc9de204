//! What a person sees of a build while it runs.

use bollard_buildkit_proto::{
    google::protobuf::Timestamp,
    moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning},
};
use remora::model::Event;

use super::{
    fake::{Build, BuildKit},
    rig::{Rig, request},
};

/// A vertex that started at this second, and perhaps ended at that one.
pub(crate) fn vertex(name: &str, started: i64, completed: Option<i64>) -> Vertex {
    let at = |seconds| Timestamp { seconds, nanos: 0 };
    Vertex {
        digest: format!("digest of {name}"),
        name: name.to_owned(),
        started: Some(at(started)),
        completed: completed.map(at),
        ..Vertex::default()
    }
}

pub(crate) fn of(vertexes: impl Into<Vec<Vertex>>) -> StatusResponse {
    StatusResponse { vertexes: vertexes.into(), ..StatusResponse::default() }
}

pub(crate) fn log(name: &str, text: impl Into<Vec<u8>>) -> StatusResponse {
    let log = VertexLog { vertex: format!("digest of {name}"), stream: 2, msg: text.into(), ..VertexLog::default() };
    StatusResponse { logs: vec![log], ..StatusResponse::default() }
}

/// The events of a build whose status is told so.
async fn events<F>(tell: impl Fn(Build) -> F + Send + Sync + 'static) -> Vec<Event>
where
    F: Future<Output = ()> + Send + 'static,
{
    let fake = BuildKit::new().make(move |build| {
        let told = tell(build);
        async move {
            told.await;
            Ok(())
        }
    });
    let (outcome, events) = Rig::new(fake).await.build(&request()).await;
    outcome.unwrap();
    events
}

fn steps(events: &[Event]) -> Vec<(u32, &str)> {
    let step = |event: &Event| match event {
        Event::StepStarted { step, .. } => Some((*step, "started")),
        Event::StepLog { step, .. } => Some((*step, "log")),
        Event::StepProgress { step, .. } => Some((*step, "progress")),
        Event::StepDone { step, .. } => Some((*step, "done")),
        _ => None,
    };
    events.iter().filter_map(step).collect()
}

/// A layer of the cache is loaded when something needs it. BuildKit then reports its step anew, without inputs.
#[tokio::test]
async fn a_cached_step_stays_cached_when_its_layer_is_loaded() {
    let name = "[2/2] RUN make";
    let events = events(move |build| async move {
        let cached = Vertex { cached: true, inputs: vec!["base".to_owned()], ..vertex(name, 1, Some(1)) };
        build.tell(of([cached])).await;
        build.tell(of([vertex(name, 2, Some(9))])).await;
    })
    .await;
    let mut tally = remora::model::Tally::default();
    for event in &events {
        tally.add(event);
    }
    let report = tally.report();
    assert_eq!((report.cached_steps, report.steps), (1, 1));
}

#[tokio::test]
async fn a_step_is_told_once_however_often_the_engine_repeats_it() {
    let events = events(async |build| {
        for _ in 0..3 {
            build.tell(of([vertex("[1/2] RUN a", 1, None)])).await;
        }
        for _ in 0..3 {
            build.tell(of([vertex("[1/2] RUN a", 1, Some(2))])).await;
        }
        // It comes back to load what it found.
        build.tell(of([vertex("[1/2] RUN a", 3, None)])).await;
        build.tell(of([vertex("[1/2] RUN a", 3, Some(3))])).await;
        build.tell(of([vertex("[2/2] RUN b", 4, Some(5))])).await;
    })
    .await;
    assert_eq!(steps(&events), [(1, "started"), (1, "done"), (2, "started"), (2, "done")]);
}

/// A git source starts to look, and starts to fetch. Without an end, what it fetched would hold back all other output.
#[tokio::test]
async fn a_step_that_writes_in_a_second_run_starts_and_ends_again() {
    let name = "[internal] load git source https://g.example/r.git";
    let events = events(move |build| async move {
        build.tell(of([vertex(name, 1, None)])).await;
        build.tell(log(name, "ref\n")).await;
        // One run's end and the next one's start may come in one message.
        build.tell(of([vertex(name, 1, Some(1)), vertex(name, 2, None)])).await;
        build.tell(log(name, "fetched\n")).await;
        build.tell(log(name, "checked out\n")).await;
        build.tell(of([vertex(name, 2, Some(2))])).await;
    })
    .await;
    // Lines that come soon after each other are told together.
    let run = [(1, "started"), (1, "log"), (1, "done")];
    assert_eq!(steps(&events), [run, run].concat());
}

#[tokio::test]
async fn a_cached_step_that_has_to_run_after_all_is_told_so() {
    let name = "[2/2] RUN make";
    let events = events(move |build| async move {
        build.tell(of([Vertex { cached: true, ..vertex(name, 1, Some(1)) }])).await;
        build.tell(of([vertex(name, 2, None)])).await;
        build.tell(log(name, "made\n")).await;
        build.tell(of([vertex(name, 2, Some(2))])).await;
    })
    .await;
    assert_eq!(steps(&events), [(1, "started"), (1, "done"), (1, "started"), (1, "log"), (1, "done")]);
}

#[tokio::test]
async fn a_steps_output_comes_before_its_end() {
    let events = events(async |build| {
        let mut all = of([vertex("[1/1] RUN a", 1, Some(4))]);
        all.logs = log("[1/1] RUN a", "last words\n").logs;
        all.statuses = vec![VertexStatus {
            vertex: "digest of [1/1] RUN a".to_owned(),
            id: "transferring".to_owned(),
            current: 5,
            total: 7,
            ..VertexStatus::default()
        }];
        build.tell(all).await;
    })
    .await;
    assert_eq!(steps(&events), [(1, "started"), (1, "progress"), (1, "log"), (1, "done")]);
    let Event::StepDone { elapsed_ms, cached: false, error: None, .. } = &events[3] else { panic!("{events:?}") };
    assert_eq!(*elapsed_ms, 3000);
}

#[tokio::test]
async fn a_warning_of_the_dockerfile_says_where_it_is_explained() {
    let events = events(async |build| {
        let (short, url) = (b"LegacyKeyValueFormat".to_vec(), "https://d.example/".to_owned());
        let warning = VertexWarning { short, url, ..VertexWarning::default() };
        build.tell(StatusResponse { warnings: vec![warning], ..StatusResponse::default() }).await;
    })
    .await;
    assert_eq!(
        events,
        [Event::Check { text: "LegacyKeyValueFormat".to_owned(), url: "https://d.example/".to_owned() }]
    );
}

/// A terminal would keep a row for a step that nobody saw start.
#[tokio::test]
async fn the_look_at_a_cache_ref_is_no_step() {
    let events = events(async |build| {
        let name = "importing cache manifest from r.example.com/app:1";
        let mut look = of([vertex(name, 1, None)]);
        look.logs = log(name, "manifest\n").logs;
        look.statuses = vec![VertexStatus {
            vertex: format!("digest of {name}"),
            id: "inferred".to_owned(),
            ..VertexStatus::default()
        }];
        build.tell(look).await;
        build.tell(of([vertex(name, 1, Some(2))])).await;
    })
    .await;
    assert_eq!(steps(&events), []);
}

#[tokio::test]
async fn a_cache_ref_that_does_not_exist_yet_is_no_failed_step() {
    let events = events(async |build| {
        let name = "importing cache manifest from r.example.com/app:1";
        let missing = Vertex { error: "r.example.com/app:1: not found".to_owned(), ..vertex(name, 1, Some(2)) };
        build.tell(of([missing])).await;
    })
    .await;
    let text = "cache: r.example.com/app:1 does not exist yet".to_owned();
    assert_eq!(events, [Event::Notice { warning: false, text }]);
}

#[tokio::test]
async fn output_of_any_size_and_content_gets_through() {
    let events = events(async |build| {
        build.tell(of([vertex("[1/1] RUN a", 1, None)])).await;
        // More than gRPC takes in one message by itself.
        build.tell(log("[1/1] RUN a", vec![0xff; 9 << 20])).await;
        build.tell(of([vertex("[1/1] RUN a", 1, Some(2))])).await;
    })
    .await;
    let Event::StepLog { data, .. } = &events[1] else { panic!("{:?}", steps(&events)) };
    assert!(data.len() == 9 << 20 && data.iter().all(|byte| *byte == 0xff));
    assert_eq!(steps(&events), [(1, "started"), (1, "log"), (1, "done")]);
}

#[tokio::test]
async fn ten_thousand_steps_are_told_in_their_order() {
    let events = events(async |build| {
        for thousand in 0..10 {
            let vertexes: Vec<_> =
                (0..1000).map(|n| vertex(&format!("[a {thousand}/{n}] RUN x"), thousand * 1000 + n, None)).collect();
            build.tell(of(vertexes.clone())).await;
            let ends = vertexes.into_iter().map(|v| Vertex { completed: v.started, ..v });
            build.tell(of(ends.collect::<Vec<_>>())).await;
        }
    })
    .await;
    assert_eq!(events.len(), 20_000);
    let started: Vec<u32> = events
        .iter()
        .filter_map(|e| if let Event::StepStarted { step, .. } = e { Some(*step) } else { None })
        .collect();
    assert!(started.iter().copied().eq(1..=10_000));
}

#[tokio::test]
async fn a_build_goes_on_when_its_progress_ends_early() {
    let events = events(async |build| {
        build.tell(of([vertex("[1/1] RUN a", 1, None)])).await;
        build.fall_silent();
    })
    .await;
    assert_eq!(steps(&events), [(1, "started")]);
}

#[tokio::test]
async fn what_is_told_at_the_very_end_is_not_lost() {
    let fake = BuildKit::new().export(async |build| {
        build.tell(of([vertex("exporting to image", 1, Some(2))])).await;
        Ok([].into())
    });
    let (outcome, events) = Rig::new(fake).await.build(&request()).await;
    outcome.unwrap();
    assert_eq!(steps(&events), [(1, "started"), (1, "done")]);
}
