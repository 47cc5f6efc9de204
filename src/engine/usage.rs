//! Disk usage and prune.

use std::{
    collections::{BTreeSet, HashMap},
    time::{SystemTime, UNIX_EPOCH},
};

use bollard::query_parameters::{
    ListImagesOptionsBuilder, PruneImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
};
use bollard_buildkit_proto::{
    google::protobuf::Timestamp,
    moby::buildkit::v1::{self as control, DiskUsageRequest, UsageRecord, control_client::ControlClient},
};
use serde::Deserialize;

use super::{Engine, Error, dial::LARGEST_MESSAGE};
use crate::{
    model::{Failure, Held, HeldRecord, IMAGE, ImageStore, PruneRequest, Reference},
    strategy::prune::{self, Record},
};

/// What a prune freed of one kind, or would free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// Records or images.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
    /// Whether the bytes are the most that it can be.
    pub at_most: bool,
}

/// What one kind takes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Records or images.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes that a prune with `all` would free.
    pub reclaimable_bytes: u64,
}

/// Bollard reads the newer schema of this answer alone, which older engines do not send.
#[derive(Deserialize)]
struct SystemDf {
    #[serde(rename = "LayersSize", default)]
    layers_size: i64,
    #[serde(rename = "Images", default)]
    images: Option<Vec<DfImage>>,
}

#[derive(Deserialize)]
struct DfImage {
    #[serde(rename = "Id", default)]
    id: String,
    #[serde(rename = "RepoTags", default)]
    repo_tags: Option<Vec<String>>,
    #[serde(rename = "Created", default)]
    created: i64,
    #[serde(rename = "Size", default)]
    size: i64,
    #[serde(rename = "SharedSize", default)]
    shared_size: i64,
    #[serde(rename = "Containers", default)]
    containers: i64,
}

impl DfImage {
    /// The bytes that go when this image goes alone.
    fn own_bytes(&self) -> u64 {
        positive(self.size - self.shared_size.max(0))
    }

    fn is_dangling(&self) -> bool {
        self.repo_tags.iter().flatten().all(|tag| tag == "<none>:<none>")
    }
}

impl From<SystemDf> for Held {
    fn from(df: SystemDf) -> Self {
        let images = df.images.unwrap_or_default();
        let own = images.iter().map(DfImage::own_bytes).sum();
        let shared_layers = positive(df.layers_size).saturating_sub(own);
        // Which layers a used image shares is not told: of all used ones together, it is no more than this.
        let used = images.iter().filter(|image| image.containers > 0).map(|image| positive(image.shared_size)).sum();
        Self {
            records: images.into_iter().map(HeldRecord::from).collect(),
            shared_layers,
            unused_shared_layers: shared_layers.saturating_sub(used),
        }
    }
}

impl Engine {
    /// Disk usage by kind.
    pub async fn disk_usage(&self) -> Result<Vec<(&'static str, Used)>, Failure> {
        let Held { records, shared_layers, unused_shared_layers } = self.held().await?;
        let (mut images, mut cache) = (Used::default(), Used::default());
        images.bytes = shared_layers;
        images.reclaimable_bytes = unused_shared_layers;
        for record in records {
            let used = if record.kind == IMAGE { &mut images } else { &mut cache };
            used.count += 1;
            used.bytes += record.bytes;
            if !record.in_use {
                used.reclaimable_bytes += record.bytes;
            }
        }
        let images = self.docker().is_ok().then_some(("images", images));
        Ok(images.into_iter().chain([("build cache", cache)]).collect())
    }

    /// All that it holds: images and build cache.
    pub async fn held(&self) -> Result<Held, Failure> {
        let mut held = match self.docker() {
            Ok(docker) => docker.get::<SystemDf>("GET /system/df", "/system/df?type=image").await?.into(),
            Err(_) => Held::default(),
        };
        held.records.extend(self.cache_records().await?.into_iter().map(HeldRecord::from));
        Ok(held)
    }

    /// Prunes the build cache.
    pub async fn prune_cache(&self, request: &PruneRequest) -> Result<Freed, Failure> {
        if request.dry_run {
            let records: Vec<_> = self.cache_records().await?.into_iter().map(record).collect();
            let freed = prune::plan(&records, request, now());
            return Ok(Freed { count: freed.count(), bytes: freed.bytes, at_most: false });
        }
        let connection = self.grpc().await?;
        let mut control = ControlClient::new(connection.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        let keep = i64::try_from(request.keep_bytes).unwrap_or(i64::MAX);
        let request = control::PruneRequest {
            all: request.all,
            keep_duration: i64::try_from(request.unused_for.as_nanos()).unwrap_or(i64::MAX),
            // The field that 20.10 knows as keepBytes; newer engines also hold to the second.
            reserved_space: keep,
            max_used_space: keep,
            ..control::PruneRequest::default()
        };
        let refused = |status: tonic::Status| Failure::from(Error::refused("Prune", &status));
        let mut records = control.prune(request).await.map_err(refused)?.into_inner();
        let mut freed = Freed::default();
        // One message may hold a record without a size: it is counted all the same.
        while let Some(record) = records.message().await.map_err(refused)? {
            freed.count += 1;
            freed.bytes += positive(record.size);
        }
        Ok(freed)
    }

    /// Prunes images: dangling ones, with `all` every one that no container uses.
    pub async fn prune_images(&self, request: &PruneRequest) -> Result<Freed, Failure> {
        let docker = self.docker()?;
        if request.dry_run {
            let df: SystemDf = docker.get("GET /system/df", "/system/df?type=image").await?;
            let youngest = now() / 1_000_000_000 - i64::try_from(request.unused_for.as_secs()).unwrap_or(i64::MAX);
            let goes = |image: &&DfImage| {
                image.containers <= 0
                    && (request.all || image.is_dangling())
                    && (request.unused_for.is_zero() || image.created <= youngest)
            };
            let images = df.images.unwrap_or_default();
            let (count, bytes) =
                images.iter().filter(goes).fold((0, 0), |sum, image| (sum.0 + 1, sum.1 + image.own_bytes()));
            if self.ready()?.capabilities.image_store == Some(ImageStore::Containerd) {
                // It marks what it shares with the cache some time later, and not all of it.
                return Ok(Freed { count, bytes, at_most: true });
            }
            // What the build cache holds as well goes with the cache, not with the image.
            let shared = self.cache_records().await?.iter().filter(|r| r.shared).map(|r| positive(r.size)).sum();
            return Ok(Freed { count, bytes: bytes.saturating_sub(shared), at_most: false });
        }
        let before = self.image_ids().await?;
        let options = PruneImagesOptionsBuilder::default().filters(&image_filters(request)).build();
        let pruned = docker.patient().prune_images(Some(options)).await;
        let pruned = pruned.map_err(|e| Error::docker("POST /images/prune", &e))?;
        // The answer lists layers among the images: what is gone is counted.
        let count = before.difference(&self.image_ids().await?).count() as u64;
        Ok(Freed { count, bytes: positive(pruned.space_reclaimed.unwrap_or(0)), at_most: false })
    }

    /// Gives an image that the engine holds a further name.
    pub async fn tag(&self, from: &Reference, to: &Reference) -> Result<(), Failure> {
        let options = TagImageOptionsBuilder::default().repo(&to.name()).tag(to.tag()).build();
        let tagged = self.docker()?.bollard.tag_image(&from.to_string(), Some(options)).await;
        Ok(tagged.map_err(|e| Error::docker("POST /images/tag", &e))?)
    }

    /// Takes a name from an image, and the image with its last one. What the build cache has stays.
    pub async fn untag(&self, tag: &Reference) -> Result<(), Failure> {
        let docker = self.docker()?;
        let removed = docker.bollard.remove_image(&tag.to_string(), None::<RemoveImageOptions>, None).await;
        Ok(removed.map(drop).map_err(|e| Error::docker("DELETE /images", &e))?)
    }

    async fn image_ids(&self) -> Result<BTreeSet<String>, Failure> {
        let options = ListImagesOptionsBuilder::default().build();
        let images = self.docker()?.bollard.list_images(Some(options)).await;
        let images = images.map_err(|e| Error::docker("GET /images/json", &e))?;
        Ok(images.into_iter().map(|image| image.id).collect())
    }

    async fn cache_records(&self) -> Result<Vec<UsageRecord>, Failure> {
        let connection = self.grpc().await?;
        let mut control = ControlClient::new(connection.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        let request = DiskUsageRequest { filter: Vec::new(), age_limit: 0 };
        let usage = control.disk_usage(request).await.map_err(|s| Error::refused("DiskUsage", &s))?;
        Ok(usage.into_inner().record)
    }
}

/// The most characters of what made a record, or of the names of an image.
const LONGEST_DESCRIPTION: usize = 300;

impl From<DfImage> for HeldRecord {
    fn from(image: DfImage) -> Self {
        let bytes = image.own_bytes();
        let names: Vec<_> = image.repo_tags.into_iter().flatten().filter(|tag| tag != "<none>:<none>").collect();
        Self {
            kind: IMAGE.to_owned(),
            id: image.id,
            description: names.join(" ").chars().take(LONGEST_DESCRIPTION).collect(),
            bytes,
            in_use: image.containers > 0,
            created: Some(image.created),
            ..Self::default()
        }
    }
}

impl From<UsageRecord> for HeldRecord {
    fn from(record: UsageRecord) -> Self {
        let kind = if record.record_type.is_empty() { "regular".to_owned() } else { record.record_type };
        Self {
            kind,
            id: record.id,
            description: record.description.chars().take(LONGEST_DESCRIPTION).collect(),
            bytes: positive(record.size),
            in_use: record.in_use,
            shared: record.shared,
            created: record.created_at.map(|time| time.seconds),
            last_used: record.last_used_at.map(|time| time.seconds),
            usage_count: u64::try_from(record.usage_count).unwrap_or(0),
        }
    }
}

fn image_filters(request: &PruneRequest) -> HashMap<String, Vec<String>> {
    let mut filters = HashMap::from([("dangling".to_owned(), vec![(!request.all).to_string()])]);
    if !request.unused_for.is_zero() {
        filters.insert("until".to_owned(), vec![format!("{}s", request.unused_for.as_secs())]);
    }
    filters
}

#[allow(deprecated)] // 20.10 knows no other field for parents
fn record(record: UsageRecord) -> Record {
    let nanos = |time: Timestamp| time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanos.into());
    let parents = if record.parents.is_empty() { vec![record.parent] } else { record.parents };
    Record {
        id: record.id,
        in_use: record.in_use,
        mutable: record.mutable,
        shared: record.shared,
        size: positive(record.size),
        created_at: record.created_at.map(nanos),
        last_used_at: record.last_used_at.map(nanos),
        usage_count: u64::try_from(record.usage_count).unwrap_or(0),
        record_type: record.record_type,
        parents: parents.into_iter().filter(|parent| !parent.is_empty()).collect(),
    }
}

/// Unix time in nanoseconds.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|t| t.as_nanos().try_into().ok()).unwrap_or(i64::MAX)
}

fn positive(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn layers_that_no_used_image_can_have_are_reclaimable() {
        let held = |containers: [u32; 2]| {
            let [a, b] = containers;
            let df = format!(
                r#"{{"LayersSize": 150, "Images": [
                {{"Id": "a", "Size": 110, "SharedSize": 100, "Containers": {a}}},
                {{"Id": "b", "Size": 140, "SharedSize": 100, "Containers": {b}}}]}}"#
            );
            let held = Held::from(serde_json::from_str::<SystemDf>(&df).unwrap());
            (held.records.iter().map(|image| image.bytes).sum::<u64>(), held.shared_layers, held.unused_shared_layers)
        };
        assert_eq!(held([0, 0]), (50, 100, 100));
        assert_eq!(held([1, 0]), (50, 100, 0), "the image in use has them");
        assert_eq!(held([1, 1]), (50, 100, 0));
    }
}
