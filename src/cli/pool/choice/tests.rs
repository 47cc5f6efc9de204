#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn idle(name: &str) -> State {
    State { name: name.to_owned(), max_builds: 2, max_queue: 20, engine_ready: true, ..State::default() }
}

fn pool(size: usize) -> Vec<State> {
    (0..size).map(|number| idle(&format!("remora-{number}"))).collect()
}

fn project(number: usize) -> String {
    format!("registry.example/group/app{number}")
}

/// The name of the first.
fn first<'s>(project: &str, states: &'s [State]) -> &'s str {
    &states[order(project, states)[0].0].name
}

#[test]
fn a_project_stays_with_its_home_whatever_order_the_names_come_in() {
    let mut states = pool(5);
    let home = first("registry.example/app", &states).to_owned();
    states.reverse();
    assert_eq!(first("registry.example/app", &states), home);
    // It is the same for all versions of the client: this is what others reckon too.
    assert_eq!(home, "remora-4");
}

#[test]
fn a_fourth_replica_takes_about_a_quarter_and_leaves_the_rest_where_it_was() {
    let (three, four) = (pool(3), pool(4));
    let moved: Vec<_> = (0..4000)
        .map(|number| (first(&project(number), &three), first(&project(number), &four)))
        .filter(|(before, after)| before != after)
        .collect();
    assert!(moved.iter().all(|(_, after)| *after == "remora-3"), "nobody moves between those that stay");
    assert!((900..1100).contains(&moved.len()), "{} of 4000 moved", moved.len());
}

#[test]
fn a_build_goes_on_where_its_home_is_full_or_going() {
    let project = project(1);
    let mut states = pool(3);
    let ranked: Vec<usize> = order(&project, &states).into_iter().map(|(place, _)| place).collect();
    let fits = |states: &[State]| order(&project, states);
    // It waits at home for what is warm there, as long as that has no more than its share.
    states[ranked[0]].running = 2;
    states[ranked[1]].running = 2;
    states[ranked[2]].running = 2;
    assert_eq!(fits(&states)[0], (ranked[0], Fit::Good));
    states[ranked[0]].waiting = 7;
    assert_eq!(fits(&states)[0], (ranked[0], Fit::Good));
    states[ranked[0]].waiting = 8;
    assert_eq!((fits(&states)[0], fits(&states)[2]), ((ranked[1], Fit::Good), (ranked[0], Fit::Busy)));
    states[ranked[0]].waiting = 20;
    assert_eq!(fits(&states)[2], (ranked[0], Fit::Full));
    states[ranked[0]].makes_room = true;
    assert_eq!(fits(&states)[2], (ranked[0], Fit::Crowded));
    states[ranked[0]] = State { draining: true, ..idle(&states[ranked[0]].name) };
    states[ranked[1]].engine_ready = false;
    let wanted = [(ranked[2], Fit::Good), (ranked[1], Fit::NoEngine), (ranked[0], Fit::Draining)];
    assert_eq!(fits(&states), wanted);
    assert_eq!(home(&project, &states), Some(ranked[0]));
}

#[test]
fn a_home_with_a_place_keeps_its_project_though_the_others_do_nothing() {
    let project = project(1);
    let mut states = pool(4);
    let place = home(&project, &states).unwrap();
    states[place].running = 1;
    assert_eq!(order(&project, &states)[0], (place, Fit::Good));
    states[place] = State { max_builds: 0, running: 50, ..states[place].clone() };
    assert_eq!(order(&project, &states)[0], (place, Fit::Good), "without a limit there is always a place");
}

proptest! {
    /// Whatever the load, somebody is named, each once; and one that could take a build stands before those that cannot.
    #[test]
    fn everybody_is_ranked_once_and_the_willing_come_first(
        loads in prop::collection::vec((0_u32..4, 0_u32..22, any::<bool>(), any::<bool>()), 1..8),
        project in "[a-z/]{0,20}",
    ) {
        let states: Vec<_> = pool(loads.len())
            .into_iter()
            .zip(&loads)
            .map(|(state, &(running, waiting, draining, engine_ready))| {
                State { running, waiting: if running < 2 { 0 } else { waiting }, draining, engine_ready, ..state }
            })
            .collect();
        let order = order(&project, &states);
        let mut places: Vec<_> = order.iter().map(|(place, _)| *place).collect();
        places.sort_unstable();
        prop_assert_eq!(places, (0..states.len()).collect::<Vec<_>>());
        prop_assert!(order.is_sorted_by_key(|(_, fit)| *fit));
        let takes = |state: &State| !state.draining && state.engine_ready && (state.running < 2 || state.waiting < 20);
        prop_assert_eq!(states.iter().any(takes), order[0].1 <= Fit::Busy);
        // The bound is one that somebody is always below.
        prop_assert!(!states.iter().any(takes) || order[0].1 == Fit::Good || states.iter().any(|s| fit(s, 0) == Fit::Full));
    }
}
