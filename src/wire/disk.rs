//! What an engine holds <-> protobuf.

use std::time::Duration;

use super::request::{check_revision, millis, wait, whole_seconds};
use crate::{
    model::{DiskSum, DiskUsage, DiskUsageRequest, Failure, HeldRecord},
    pb,
};

/// The revision that brought this call.
const REVISION: u32 = 3;

/// The most records of one answer.
const MOST_RECORDS: u32 = 10_000;

impl TryFrom<pb::DiskUsageRequest> for DiskUsageRequest {
    type Error = Failure;

    fn try_from(request: pb::DiskUsageRequest) -> Result<Self, Failure> {
        let pb::DiskUsageRequest { revision, kinds, unused_for_seconds, records, wait_ms } = request;
        check_revision(revision)?;
        let records = records.min(MOST_RECORDS).try_into().unwrap_or(0);
        Ok(Self { kinds, unused_for: Duration::from_secs(unused_for_seconds), records, wait: wait(wait_ms) })
    }
}

impl From<DiskUsageRequest> for pb::DiskUsageRequest {
    fn from(request: DiskUsageRequest) -> Self {
        let DiskUsageRequest { kinds, unused_for, records, wait } = request;
        Self {
            revision: REVISION,
            kinds,
            unused_for_seconds: whole_seconds(unused_for),
            records: records.try_into().unwrap_or(u32::MAX),
            wait_ms: millis(wait),
        }
    }
}

impl From<DiskUsage> for pb::DiskUsageResponse {
    fn from(usage: DiskUsage) -> Self {
        let DiskUsage { kinds, ages, total, records, left_out } = usage;
        Self {
            kinds: kinds.into_iter().map(Into::into).collect(),
            ages: ages.into_iter().map(Into::into).collect(),
            total: Some(total.into()),
            records: records.into_iter().map(Into::into).collect(),
            left_out,
        }
    }
}

impl From<DiskSum> for pb::DiskSum {
    fn from(sum: DiskSum) -> Self {
        let DiskSum { name, count, in_use, bytes, shared_bytes, reclaimable_bytes, last_used } = sum;
        Self { name, count, in_use, bytes, shared_bytes, reclaimable_bytes, last_used }
    }
}

impl From<HeldRecord> for pb::DiskRecord {
    fn from(record: HeldRecord) -> Self {
        let HeldRecord { kind, id, description, bytes, in_use, shared, created, last_used, usage_count } = record;
        Self { kind, id, description, bytes, in_use, shared, created, last_used, usage_count }
    }
}
