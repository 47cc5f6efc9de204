#![allow(clippy::unwrap_used)]
use std::time::Duration;

use super::*;
use crate::cli::args::Tls;

fn connection(agent: &str) -> Connection {
    Connection { agent: agent.to_owned(), wait: Duration::from_secs(60), tls: Tls::default() }
}

const POOL: &str = "tcp://127.0.0.1:1,tcp://127.0.0.1:2";

/// A route whose `--wait` is over.
fn late(connection: &Connection) -> Route<'_> {
    Route { wait: Wait::new(Duration::ZERO), ..Route::new(connection, "app".to_owned(), true).unwrap() }
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "the agent is shutting down")
}

fn has_time(route: &Route<'_>) -> bool {
    !route.wait.left().is_zero()
}

#[test]
fn time_in_a_queue_does_not_count_and_time_before_an_agent_does() {
    let connection = connection(POOL);
    for kind in [FailureKind::Agent, FailureKind::Busy] {
        let mut route = late(&connection);
        assert!(route.pass_on(failure(kind), &Progress::by_itself(true)).unwrap().is_some());
        assert!(!has_time(&route), "nobody took it");
        let mut progress = Progress::by_itself(true);
        progress.show(Event::Waiting { text: "waiting: next".to_owned() });
        route.pass_on(failure(kind), &progress).unwrap();
        assert!(has_time(&route), "what it waited in the queue is not counted");
    }
}

#[test]
fn a_build_that_kills_each_agent_before_it_begins_is_not_tried_for_ever() {
    let connection = connection(POOL);
    let mut route = late(&connection);
    let progress = Progress::by_itself(true);
    for _ in 1..MOST_DEATHS {
        route.pass_on(failure(FailureKind::Lost), &progress).unwrap();
    }
    route.pass_on(failure(FailureKind::Lost), &progress).unwrap_err();
}

#[test]
fn an_agent_without_others_is_asked_again_unless_it_had_begun() {
    let connection = connection("tcp://127.0.0.1:1");
    let mut route = late(&connection);
    let mut progress = Progress::by_itself(true);
    assert_eq!(route.pass_on(failure(FailureKind::Busy), &progress).unwrap(), None, "there is no other agent");
    route.pass_on(failure(FailureKind::NotFound), &progress).unwrap_err();
    route.pass_on(failure(FailureKind::Lost), &progress).unwrap_err();
    progress.show(Event::Accepted { build_id: "1".to_owned() });
    route.pass_on(failure(FailureKind::Agent), &progress).unwrap_err();
}
