#![allow(clippy::unwrap_used)]
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn queue(running: usize, waiting: usize) -> Queue {
    Queue::new(Limits { running, waiting })
}

#[test]
fn without_a_limit_nobody_waits() {
    let mut queue = queue(0, 0);
    assert!((0..100).all(|ticket| queue.enter(ticket, "", "a") == Entry::Runs));
}

#[test]
fn projects_take_turns_and_keep_their_order() {
    let mut queue = queue(1, 10);
    let came = [(0, "a"), (1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "c"), (6, "b")];
    let entries = came.map(|(ticket, project)| queue.enter(ticket, "", project));
    assert_eq!((entries[0], entries[6]), (Entry::Runs, Entry::Waits));
    let ahead: Vec<_> = (0..7).map(|ticket| queue.ahead(ticket)).collect();
    assert_eq!(ahead, [None, Some(0), Some(3), Some(5), Some(1), Some(2), Some(4)]);
    let mut order = Vec::new();
    while let Some(&ticket) = queue.running.first() {
        order.push(ticket);
        queue.leave(ticket);
    }
    assert_eq!(order, [0, 1, 4, 5, 2, 6, 3]);
}

#[test]
fn a_caller_with_many_projects_has_one_turn_all_the_same() {
    let mut queue = queue(1, 10);
    let came = [(0, "x", "a"), (1, "x", "a"), (2, "x", "b"), (3, "x", "c"), (4, "y", "a"), (5, "y", "a"), (6, "", "a")];
    for (ticket, caller, project) in came {
        queue.enter(ticket, caller, project);
    }
    let ahead: Vec<_> = (1..7).filter_map(|ticket| queue.ahead(ticket)).collect();
    assert_eq!(ahead, [0, 3, 5, 1, 4, 2]);
}

#[test]
fn who_goes_while_waiting_leaves_no_gap() {
    let mut queue = queue(1, 2);
    assert_eq!([0, 1, 2].map(|ticket| queue.enter(ticket, "", "a")), [Entry::Runs, Entry::Waits, Entry::Waits]);
    assert_eq!(queue.enter(3, "", "a"), Entry::Full);
    queue.leave(1);
    assert_eq!((queue.ahead(2), queue.enter(3, "", "b")), (Some(0), Entry::Waits));
    queue.leave(99);
    queue.leave(0);
    assert_eq!((queue.running(), queue.waiting()), (1, 1));
}

/// What became of builds that came one after the other, and which of them wait at the end.
fn fill(waiting: usize, came: &[(&str, &str)]) -> (Vec<Entry>, Vec<Ticket>) {
    let mut queue = queue(1, waiting);
    queue.enter(0, "", "");
    let entries = (1..).zip(came).map(|(ticket, (caller, project))| queue.enter(ticket, caller, project)).collect();
    (entries, (1..=came.len() as Ticket).filter(|ticket| queue.ahead(*ticket).is_some()).collect())
}

#[test]
fn nobody_fills_the_queue_for_others() {
    use Entry::{Full, Waits};
    let came = [("x", "a"), ("x", "a"), ("x", "b"), ("x", "b"), ("x", "b"), ("y", "a"), ("y", "a"), ("y", "a")];
    let (entries, waiting) = fill(4, &came);
    assert_eq!(entries, [Waits, Waits, Waits, Waits, Full, Waits, Waits, Full]);
    assert_eq!(waiting, [1, 3, 6, 7], "the newest of the project with the most went, and then they have the same");
    let (entries, waiting) = fill(3, &[("", "a"), ("", "a"), ("", "a"), ("", "b"), ("", "c"), ("", "b")]);
    assert_eq!(entries, [Waits, Waits, Waits, Waits, Waits, Full], "projects of who is not known");
    assert_eq!(waiting, [1, 4, 5]);
}

#[derive(Debug, Clone)]
enum Step {
    Comes(u8),
    /// The build at this place among those that are there goes, whether it runs or waits.
    Goes(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![3 => (0_u8..5).prop_map(Step::Comes), 2 => any::<usize>().prop_map(Step::Goes)];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// No build is lost or doubled, the bounds hold, no place is empty while somebody waits, and while a project waits
    /// no other gets two places.
    #[test]
    fn the_queue_is_whole_bounded_and_fair(running in 0_usize..5, waiting in 0_usize..12, steps in steps()) {
        let mut queue = queue(running, waiting);
        let mut there: Vec<(Ticket, String)> = Vec::new();
        // How often each project began since this one has been waiting.
        let mut began: HashMap<String, HashMap<String, usize>> = HashMap::new();
        for (ticket, step) in (0..).zip(steps) {
            let ran = queue.running.clone();
            let nexts = |queue: &Queue| there.iter().find(|(ticket, _)| queue.ahead(*ticket) == Some(0)).cloned();
            match step {
                Step::Comes(project) => {
                    let project = project.to_string();
                    let waits = |ticket: &Ticket| queue.ahead(*ticket).is_some();
                    let number = |of: &String| there.iter().filter(|(t, other)| other == of && waits(t)).count();
                    let most = there.iter().map(|(_, project)| number(project)).max().unwrap_or_default();
                    let full = running > 0 && ran.len() == running && queue.waiting() >= waiting;
                    let makes_room = full && most >= number(&project) + 2;
                    let entry = queue.enter(ticket, "", &project);
                    prop_assert_eq!(entry == Entry::Full, full && !makes_room);
                    let before = there.len();
                    there.retain(|(ticket, _)| queue.runs(*ticket) || queue.ahead(*ticket).is_some());
                    prop_assert_eq!(before - there.len(), usize::from(makes_room), "one makes room for one");
                    if entry != Entry::Full {
                        there.push((ticket, project));
                    }
                }
                Step::Goes(_) if there.is_empty() => {}
                Step::Goes(place) => {
                    let next = nexts(&queue);
                    let (ticket, _) = there.remove(place % there.len());
                    queue.leave(ticket);
                    if ran.contains(&ticket) && let Some((next, _)) = next {
                        prop_assert!(queue.running.contains(&next), "the one with nobody ahead begins");
                    }
                }
            }
            let waits = |ticket: &Ticket| queue.ahead(*ticket).is_some();
            for (ticket, _) in &there {
                prop_assert!(queue.running.contains(ticket) != waits(ticket));
            }
            prop_assert_eq!(queue.running() + queue.waiting(), there.len());
            prop_assert!(running == 0 || queue.running() <= running);
            prop_assert!(queue.waiting() <= waiting);
            prop_assert!(queue.waiting() == 0 || queue.running() == running);
            let mut aheads: Vec<_> = there.iter().filter_map(|(ticket, _)| queue.ahead(*ticket)).collect();
            aheads.sort_unstable();
            prop_assert_eq!(&aheads, &(0..aheads.len()).collect::<Vec<_>>());
            let waiting_now: BTreeSet<_> =
                there.iter().filter(|(ticket, _)| waits(ticket)).map(|(_, project)| project.clone()).collect();
            began.retain(|project, _| waiting_now.contains(project));
            for (_, project) in there.iter().filter(|(ticket, _)| queue.running.contains(ticket) && !ran.contains(ticket)) {
                began.remove(project);
                for counts in began.values_mut() {
                    let count = counts.entry(project.clone()).or_default();
                    *count += 1;
                    prop_assert!(*count <= 1, "one project begins twice while another waits");
                }
            }
            for project in waiting_now {
                began.entry(project).or_default();
            }
        }
    }
}
