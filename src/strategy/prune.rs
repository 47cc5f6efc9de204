//! Which records of the build cache a prune would free: the dry run of BuildKit's `Control.Prune`.
//!
//! BuildKit behaves here in 0.29 as it did in 0.8, which Docker 20.10 holds: one rule set serves both. (A newer
//! request may also bound the space from above or by what the disk has left; ours does not.)
//!
//! - What is in use, or has a child that stays, stays. Freeing the last child makes its parents eligible.
//! - Without `all`, records of the types `internal` and `frontend` stay, and what an image shares stays.
//! - With an age, what was used since then stays. What never was used has every age.
//! - With bytes to keep, records go one by one, least useful first, and only while the cache holds that many bytes or
//!   more. What images share does not count as held, and yet counts as freed where `all` frees it.
//!
//! Where two records are equally useful, BuildKit's choice is random and ours is not: the bytes may then differ by one
//! record.

use std::collections::{BTreeMap, HashMap};

use crate::model::PruneRequest;

/// A record of the build cache, as `Control.DiskUsage` lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Whether a build, or a record that is in use, holds it.
    pub in_use: bool,
    /// Whether it can still be written to, as cache mounts and contexts can.
    pub mutable: bool,
    /// Whether an image holds it as well.
    pub shared: bool,
    /// Bytes of its own, without its parents'.
    pub size: u64,
    /// When it was made, in nanoseconds since 1970.
    pub created_at: Option<i64>,
    /// When it was used last, in nanoseconds since 1970.
    pub last_used_at: Option<i64>,
    /// How often it was used.
    pub usage_count: u64,
    /// `regular`, `internal`, `frontend`, `source.local`, `source.git.checkout` or `exec.cachemount`; empty is regular.
    pub record_type: String,
    /// Ids of the records that it builds upon. Old engines know one at most.
    pub parents: Vec<String>,
}

/// What a prune would free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freed {
    /// Ids, in the order in which they go.
    pub ids: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
}

impl Freed {
    /// How many records.
    pub fn count(&self) -> u64 {
        self.ids.len() as u64
    }
}

/// Says what `request` would free of `records` at `now`, in nanoseconds since 1970.
pub fn plan(records: &[Record], request: &PruneRequest, now: i64) -> Freed {
    let mut cache = Cache::new(records, request, now);
    let mut freed = Freed::default();
    // Signed, for freed records may be shared ones that were never counted.
    let mut held: i128 = records.iter().filter(|r| !r.shared).map(|r| i128::from(r.size)).sum();
    let keep = i128::from(request.keep_bytes);
    while keep == 0 || held >= keep {
        let next = if keep == 0 { cache.ready.len().checked_sub(1) } else { cache.least_useful() };
        let Some(record) = next.map(|at| cache.free(at)) else { break };
        held -= i128::from(record.size);
        freed.bytes = freed.bytes.saturating_add(record.size);
        freed.ids.push(record.id.clone());
    }
    freed
}

/// The records that are left, seen from what may go next.
struct Cache<'a> {
    records: &'a [Record],
    /// For each record, the records that it builds upon.
    parents: Vec<Vec<usize>>,
    /// For each record, how many that are left build upon it.
    children: Vec<usize>,
    /// For each record, whether the request lets it go once nothing builds upon it.
    eligible: Vec<bool>,
    /// What may go now, longest unused first.
    ready: Vec<usize>,
    /// How many of `ready` were used how often.
    counts: BTreeMap<u64, usize>,
}

impl<'a> Cache<'a> {
    fn new(records: &'a [Record], request: &PruneRequest, now: i64) -> Self {
        let index: HashMap<&str, usize> = records.iter().enumerate().map(|(i, r)| (r.id.as_str(), i)).collect();
        let known = |r: &Record| r.parents.iter().filter_map(|id| index.get(id.as_str()).copied()).collect();
        let parents: Vec<Vec<usize>> = records.iter().map(known).collect();
        let mut children = vec![0; records.len()];
        parents.iter().flatten().for_each(|parent| children[*parent] += 1);
        let eligible = records.iter().map(|r| is_eligible(r, request, now)).collect();
        let mut cache = Self { records, parents, children, eligible, ready: Vec::new(), counts: BTreeMap::new() };
        (0..records.len()).for_each(|i| cache.consider(i));
        cache
    }

    fn consider(&mut self, i: usize) {
        if !self.eligible[i] || self.children[i] > 0 {
            return;
        }
        let age = |i: usize| (self.records[i].last_used_at, i);
        let at = self.ready.partition_point(|other| age(*other) < age(i));
        self.ready.insert(at, i);
        *self.counts.entry(self.records[i].usage_count).or_default() += 1;
    }

    fn free(&mut self, at: usize) -> &'a Record {
        let i = self.ready.remove(at);
        let record = &self.records[i];
        if let Some(count) = self.counts.get_mut(&record.usage_count) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&record.usage_count);
            }
        }
        for parent in std::mem::take(&mut self.parents[i]) {
            self.children[parent] -= 1;
            self.consider(parent);
        }
        record
    }

    /// Place in `ready` of the record with the lowest sum of two ranks among what may go, each as a share of the
    /// highest: by age, and by how often it was used. Never used ranks first in both.
    fn least_useful(&self) -> Option<usize> {
        let mut ages = Vec::with_capacity(self.ready.len());
        let (mut rank, mut last) = (1_u32, None);
        for i in &self.ready {
            let used = self.records[*i].last_used_at;
            if used > last {
                (rank, last) = (rank + 1, used);
            }
            ages.push(rank);
        }
        let counts: Vec<u64> = self.counts.keys().copied().filter(|count| *count > 0).collect();
        let (oldest, most) = (f64::from(rank), as_f64(counts.len() + 1));
        let score = |place: usize| {
            let count = self.records[self.ready[place]].usage_count;
            let frequency = counts.partition_point(|other| *other <= count) + 1;
            f64::from(ages[place]) / oldest + as_f64(frequency) / most
        };
        (0..self.ready.len())
            .map(|place| (place, score(place)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(place, _)| place)
    }
}

fn is_eligible(record: &Record, request: &PruneRequest, now: i64) -> bool {
    let kept_type = matches!(record.record_type.as_str(), "internal" | "frontend");
    if record.in_use || (!request.all && (kept_type || record.shared)) {
        return false;
    }
    let unused_for = i64::try_from(request.unused_for.as_nanos()).unwrap_or(i64::MAX);
    unused_for == 0 || record.last_used_at.is_none_or(|used| used <= now.saturating_sub(unused_for))
}

/// A number of records; far below where a double stops being exact.
#[allow(clippy::cast_precision_loss)]
fn as_f64(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
