//! What an engine holds on its disk, summed up by kind and by age.

use std::{collections::BTreeMap, time::Duration};

/// Name of the kind of images. The build cache has the kinds of `BuildKit`: `regular`, `source.local`, `exec.cachemount`
/// and others.
pub const IMAGE: &str = "image";

/// Which of it is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsageRequest {
    /// These kinds; none means all.
    pub kinds: Vec<String>,
    /// What was not used for this long; zero means any age.
    pub unused_for: Duration,
    /// How many records are listed at most.
    pub records: usize,
    /// How long to wait for an engine that is not up yet.
    pub wait: Duration,
}

/// All that an engine holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Images, and records of the build cache.
    pub records: Vec<HeldRecord>,
    /// Bytes of layers that several images have: they are in none of the records.
    pub shared_layers: u64,
    /// How many of these bytes no image in use has, at the least.
    pub unused_shared_layers: u64,
}

/// An image, or a record of the build cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldRecord {
    /// [`IMAGE`], or the record's type.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Names of an image; what made a record.
    pub description: String,
    /// Bytes that are its own.
    pub bytes: u64,
    /// Whether a container, or a build, has it in use.
    pub in_use: bool,
    /// Whether an image holds this record of the build cache as well.
    pub shared: bool,
    /// When it was made, in seconds since 1970.
    pub created: Option<i64>,
    /// When it was used last, in seconds since 1970. Of images, engines do not tell it.
    pub last_used: Option<i64>,
    /// How often it was used.
    pub usage_count: u64,
}

/// Several records as one sum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskSum {
    /// What they have in common.
    pub name: String,
    /// How many there are.
    pub count: u64,
    /// How many of them are in use.
    pub in_use: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of build cache that images hold as well, or of layers that several images have.
    pub shared_bytes: u64,
    /// Bytes of what is not in use.
    pub reclaimable_bytes: u64,
    /// The last use of any of them, or when the newest was made, in seconds since 1970.
    pub last_used: Option<i64>,
}

/// What an engine holds, in sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// By kind: images first.
    pub kinds: Vec<DiskSum>,
    /// By how long ago it was used, the latest first; what the build cache shares with images counts once, unless some
    /// images are too young.
    pub ages: Vec<DiskSum>,
    /// All of it; what is shared counts as in `ages`.
    pub total: DiskSum,
    /// The largest records.
    pub records: Vec<HeldRecord>,
    /// How many more there are.
    pub left_out: u64,
}

/// Names of ages, and the seconds that they reach to.
const AGES: [(&str, i64); 5] = [
    ("within an hour", 3600),
    ("within a day", 24 * 3600),
    ("within a week", 7 * 24 * 3600),
    ("within 30 days", 30 * 24 * 3600),
    ("longer ago", i64::MAX),
];

impl HeldRecord {
    /// When it was used last, or made where that is not known.
    fn touched(&self) -> Option<i64> {
        self.last_used.or(self.created)
    }
}

impl DiskSum {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Counts it in; `with_images` where what images share is counted with these.
    fn add(&mut self, record: &HeldRecord, with_images: bool) {
        self.count += 1;
        self.in_use += u64::from(record.in_use);
        self.last_used = self.last_used.max(record.touched());
        if record.shared {
            self.shared_bytes = self.shared_bytes.saturating_add(record.bytes);
        }
        if record.shared && with_images {
            return;
        }
        self.bytes = self.bytes.saturating_add(record.bytes);
        if !record.in_use {
            self.reclaimable_bytes = self.reclaimable_bytes.saturating_add(record.bytes);
        }
    }
}

impl DiskUsage {
    /// Sums up what `request` asks for, at `now`, in seconds since 1970.
    pub fn of(held: Held, request: &DiskUsageRequest, now: i64) -> Self {
        let unused_for = i64::try_from(request.unused_for.as_secs()).unwrap_or(i64::MAX);
        let age = |record: &HeldRecord| now.saturating_sub(record.touched().unwrap_or(0));
        let mut records = held.records;
        let images = |records: &[HeldRecord]| records.iter().filter(|record| record.kind == IMAGE).count();
        let held_images = images(&records);
        records.retain(|record| {
            (request.kinds.is_empty() || request.kinds.contains(&record.kind))
                && (unused_for == 0 || age(record) >= unused_for)
        });
        let mut kinds: BTreeMap<(bool, String), DiskSum> = BTreeMap::new();
        let mut ages = AGES.map(|(name, _)| DiskSum::new(name));
        let mut total = DiskSum::new("total");
        // Whose layers are shared is not told: only where all images are counted, they are sure to be among them.
        let with_images = held_images > 0 && images(&records) == held_images;
        for record in &records {
            let key = (record.kind != IMAGE, record.kind.clone());
            kinds.entry(key).or_insert_with(|| DiskSum::new(&record.kind)).add(record, false);
            let at = AGES.iter().position(|(_, reach)| age(record) < *reach).unwrap_or(AGES.len() - 1);
            ages[at].add(record, with_images);
            total.add(record, with_images);
        }
        if let Some(images) = kinds.get_mut(&(false, IMAGE.to_owned())).filter(|_| with_images) {
            // Layers of several images belong to no image, and have no age.
            for sum in [images, &mut total] {
                sum.bytes = sum.bytes.saturating_add(held.shared_layers);
                sum.shared_bytes = sum.shared_bytes.saturating_add(held.shared_layers);
                sum.reclaimable_bytes = sum.reclaimable_bytes.saturating_add(held.unused_shared_layers);
            }
        }
        records.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.id.cmp(&b.id)));
        let left_out = records.len().saturating_sub(request.records) as u64;
        records.truncate(request.records);
        Self { kinds: kinds.into_values().collect(), ages: ages.into(), total, records, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn record(kind: &str, bytes: u64, age: i64) -> HeldRecord {
        HeldRecord {
            kind: kind.to_owned(),
            id: format!("{kind}-{bytes}"),
            bytes,
            last_used: Some(NOW - age),
            ..HeldRecord::default()
        }
    }

    fn held() -> Held {
        let shared = HeldRecord { shared: true, in_use: true, ..record("regular", 100, 10) };
        Held {
            records: vec![shared, record("regular", 7, 7200), record(IMAGE, 1000, 90 * 86_400)],
            shared_layers: 10_000,
            unused_shared_layers: 8000,
        }
    }

    #[test]
    fn what_is_shared_counts_once_in_the_total() {
        let usage = DiskUsage::of(held(), &DiskUsageRequest::default(), NOW);
        let told = |sum: &DiskSum| (sum.name.clone(), sum.count, sum.in_use, sum.bytes, sum.reclaimable_bytes);
        assert_eq!(
            usage.kinds.iter().map(told).collect::<Vec<_>>(),
            [("image".to_owned(), 1, 0, 11_000, 9000), ("regular".to_owned(), 2, 1, 107, 7)]
        );
        let DiskSum { count, bytes, reclaimable_bytes, .. } = usage.total;
        assert_eq!((count, bytes, reclaimable_bytes), (3, 11_007, 9007));
        assert_eq!(usage.ages.iter().map(|age| age.count).collect::<Vec<_>>(), [1, 1, 0, 0, 1]);
        assert_eq!((usage.records.len(), usage.left_out), (0, 3));
    }

    #[test]
    fn only_what_is_asked_for_is_summed_up_and_the_largest_is_listed() {
        let request = DiskUsageRequest { kinds: vec!["regular".to_owned()], records: 1, ..DiskUsageRequest::default() };
        let usage = DiskUsage::of(held(), &request, NOW);
        assert_eq!((usage.kinds.len(), usage.total.bytes, usage.left_out), (1, 107, 1));
        assert_eq!(usage.records[0].bytes, 100);
        let request = DiskUsageRequest { unused_for: Duration::from_secs(3600), ..DiskUsageRequest::default() };
        assert_eq!(DiskUsage::of(held(), &request, NOW).total.bytes, 11_007, "every image is that old");
    }

    #[test]
    fn cache_of_an_image_that_is_too_young_is_not_lost() {
        let shared = HeldRecord { shared: true, ..record("regular", 100, 7200) };
        let held = Held { records: vec![shared, record(IMAGE, 1000, 7200), record(IMAGE, 500, 10)], ..Held::default() };
        let request = DiskUsageRequest { unused_for: Duration::from_secs(3600), ..DiskUsageRequest::default() };
        let usage = DiskUsage::of(held, &request, NOW);
        assert_eq!((usage.total.bytes, usage.ages[1].bytes), (1100, 1100));
    }
}
