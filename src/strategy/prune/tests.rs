#![allow(clippy::unwrap_used)]
use std::{collections::HashSet, time::Duration};

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn request() -> PruneRequest {
    PruneRequest { all: false, unused_for: Duration::ZERO, keep_bytes: 0, dry_run: true, wait: Duration::ZERO }
}

/// A record of 10 bytes.
fn record(id: &str) -> Record {
    Record { id: id.into(), size: 10, record_type: "regular".into(), ..Record::default() }
}

fn child(id: &str, parent: &str) -> Record {
    Record { parents: vec![parent.into()], ..record(id) }
}

fn ids(records: &[Record], request: &PruneRequest) -> String {
    plan(records, request, NOW).ids.join(" ")
}

#[test]
fn children_go_before_parents_and_those_in_use_hold_theirs() {
    let records = [record("base"), child("a", "base"), child("b", "a")];
    assert_eq!(ids(&records, &request()), "b a base");
    let busy = [record("base"), Record { in_use: true, ..child("a", "base") }, child("b", "base")];
    assert_eq!(ids(&busy, &request()), "b");
}

#[test]
fn without_all_what_serves_frontends_and_images_stays_and_holds_its_parents() {
    let records = [
        record("base"),
        Record { shared: true, ..child("image", "base") },
        Record { record_type: "frontend".into(), ..record("frontend") },
        Record { record_type: "internal".into(), ..record("internal") },
        Record { record_type: "exec.cachemount".into(), mutable: true, ..record("mount") },
        Record { record_type: String::new(), ..record("plain") },
    ];
    assert_eq!(ids(&records, &request()), "plain mount");
    assert_eq!(plan(&records, &PruneRequest { all: true, ..request() }, NOW).count(), 6);
}

#[test]
fn what_was_used_lately_stays() {
    let used = |id, ago: i64| Record { last_used_at: Some(NOW - ago * SECOND), ..record(id) };
    let records = [used("old", 61), used("edge", 60), used("new", 59), record("never")];
    let request = PruneRequest { unused_for: Duration::from_secs(60), ..request() };
    let mut freed = plan(&records, &request, NOW).ids;
    freed.sort();
    assert_eq!(freed, ["edge", "never", "old"]);
    let eternity = PruneRequest { unused_for: Duration::MAX, ..request };
    assert_eq!(ids(&records, &eternity), "never");
}

#[test]
fn with_bytes_to_keep_the_least_useful_go_until_less_is_held() {
    let used = |id, ago: i64, usage_count| Record { last_used_at: Some(NOW - ago), usage_count, ..record(id) };
    let records = [used("new", 1, 5), used("old-often", 9, 9), used("old", 8, 1), used("older", 10, 1)];
    let keep = |keep_bytes| ids(&records, &PruneRequest { keep_bytes, ..request() });
    assert_eq!(keep(41), "");
    // Exactly as much as is to be kept is one too many.
    assert_eq!(keep(40), "older");
    assert_eq!(keep(25), "older old");
    assert_eq!(keep(1), "older old old-often new");
}

#[test]
fn shared_bytes_are_not_held_but_freed_by_all() {
    let records = [Record { shared: true, size: 1000, ..record("image") }, record("a"), record("b")];
    assert_eq!(ids(&records, &PruneRequest { keep_bytes: 21, all: true, ..request() }), "");
    let freed = plan(&records, &PruneRequest { keep_bytes: 20, all: true, ..request() }, NOW);
    assert_eq!((freed.ids.join(" ").as_str(), freed.bytes), ("image", 1000));
}

#[test]
fn ten_thousand_records_take_no_time_to_speak_of() {
    let records: Vec<_> =
        (0..10_000).map(|i| Record { last_used_at: Some(i * 7919 % 10_007), ..record(&i.to_string()) }).collect();
    let freed = plan(&records, &PruneRequest { keep_bytes: 90_000, ..request() }, NOW);
    assert_eq!(freed.count(), 1001);
}

/// The same rules said once more, step by step and slowly.
fn oracle(records: &[Record], request: &PruneRequest) -> Vec<String> {
    let mut left: Vec<&Record> = records.iter().collect();
    let mut freed = Vec::new();
    let mut held: i128 = records.iter().filter(|r| !r.shared).map(|r| i128::from(r.size)).sum();
    loop {
        let keep = i128::from(request.keep_bytes);
        if keep != 0 && held < keep {
            return freed;
        }
        let held_up: HashSet<&str> = left.iter().flat_map(|r| r.parents.iter().map(String::as_str)).collect();
        let mut ready: Vec<&Record> =
            left.iter().copied().filter(|r| !held_up.contains(r.id.as_str()) && is_eligible(r, request, NOW)).collect();
        let rank = |key: &dyn Fn(&Record) -> i64, none: i64, of: &Record| {
            let distinct = |limit: i64| {
                ready.iter().map(|r| key(r)).filter(|k| *k != none && *k <= limit).collect::<HashSet<_>>().len()
            };
            as_f64(1 + distinct(key(of))) / as_f64(1 + distinct(i64::MAX))
        };
        let age = |r: &Record| r.last_used_at.unwrap_or(i64::MIN);
        let count = |r: &Record| i64::try_from(r.usage_count).unwrap();
        let score = |r: &Record| rank(&age, i64::MIN, r) + rank(&count, 0, r);
        let scores: Vec<f64> = ready.iter().map(|r| score(r)).collect();
        let Some(best) = scores.iter().copied().min_by(f64::total_cmp) else { return freed };
        // Of those that are equally useful, the one that was unused for longest.
        let mut place = 0;
        ready.retain(|_| {
            place += 1;
            scores[place - 1] <= best
        });
        ready.sort_by_key(|r| r.last_used_at);
        let victim = ready[0];
        left.retain(|r| r.id != victim.id);
        held -= i128::from(victim.size);
        freed.push(victim.id.clone());
    }
}

prop_compose! {
    /// Records that build only upon earlier ones, as in a real cache; use spreads to parents as BuildKit reports it.
    fn cache()(
        seeds in proptest::collection::vec(
            ((0_u8..8, any::<bool>(), 0_u64..50, proptest::option::of(0_i64..6)), (0_u64..4, 0_u8..5, proptest::collection::vec(any::<prop::sample::Index>(), 0..3))),
            0..14,
        )
    ) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        for (i, ((use_, shared, size, age), (usage_count, kind, parents))) in seeds.into_iter().enumerate() {
            let mut parents: Vec<String> = parents.iter().filter(|_| i > 0).map(|p| p.index(i).to_string()).collect();
            parents.sort();
            parents.dedup();
            let record_type = match kind { 0 => "internal", 1 => "frontend", _ => "regular" };
            records.push(Record {
                id: i.to_string(),
                in_use: use_ == 0,
                shared: shared && kind > 3,
                size,
                last_used_at: age.map(|age| NOW - age * SECOND),
                usage_count,
                record_type: record_type.into(),
                parents,
                ..Record::default()
            });
        }
        for i in (0..records.len()).rev() {
            for parent in records[i].parents.clone() {
                let parent: usize = parent.parse().unwrap();
                records[parent].in_use |= records[i].in_use;
                records[parent].shared |= records[i].shared;
            }
        }
        records
    }
}

prop_compose! {
    fn requests()(all: bool, unused_for in 0_u64..5, keep_bytes in prop_oneof![Just(0), 1_u64..300]) -> PruneRequest {
        PruneRequest { all, unused_for: Duration::from_secs(unused_for), keep_bytes, ..request() }
    }
}

proptest! {
    #[test]
    fn nothing_goes_that_must_stay(records in cache(), request in requests()) {
        let freed = plan(&records, &request, NOW);
        let mut gone = HashSet::new();
        for id in &freed.ids {
            let r = &records[id.parse::<usize>().unwrap()];
            prop_assert!(is_eligible(r, &request, NOW));
            prop_assert!(records.iter().all(|c| !c.parents.contains(id) || gone.contains(&c.id)), "a child of {} stays", id);
            prop_assert!(gone.insert(id.clone()), "{} goes twice", id);
        }
        prop_assert_eq!(freed.bytes, records.iter().filter(|r| gone.contains(&r.id)).map(|r| r.size).sum::<u64>());
    }

    #[test]
    fn a_second_prune_finds_nothing(records in cache(), request in requests()) {
        // Where shared bytes go they count, and do not when a second prune counts what is held.
        let exact = request.keep_bytes == 0 || records.iter().all(|r| !r.shared);
        let request = PruneRequest { all: request.all && exact, ..request };
        let freed = plan(&records, &request, NOW);
        let left: Vec<Record> = records.iter().filter(|r| !freed.ids.contains(&r.id)).cloned().collect();
        prop_assert_eq!(plan(&left, &request, NOW), Freed::default());
    }

    #[test]
    fn keeping_more_frees_no_more(records in cache(), request in requests(), more in 1_u64..100) {
        let request = PruneRequest { keep_bytes: request.keep_bytes.max(1), ..request };
        let generous = PruneRequest { keep_bytes: request.keep_bytes + more, ..request };
        prop_assert!(plan(&records, &generous, NOW).ids.len() <= plan(&records, &request, NOW).ids.len());
    }

    #[test]
    fn the_rules_said_slowly_agree(records in cache(), request in requests()) {
        let (mut quick, mut slow) = (plan(&records, &request, NOW).ids, oracle(&records, &request));
        if request.keep_bytes == 0 {
            quick.sort();
            slow.sort();
        }
        prop_assert_eq!(quick, slow);
    }
}
