//! `remora du`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    args::{Connection, Du, HeldFilter},
    connect::Agent,
    exit::Failures,
    pool, text,
};
use crate::{
    model::{DiskUsageRequest, Failure},
    pb::{self, DiskRecord, DiskSum},
    wire,
};

/// What `--verbose` lists at most.
const MOST_RECORDS: usize = 1000;

/// Images, and the types of `BuildKit`'s records.
const TYPES: &str = "image, regular, source.local, source.git.checkout, exec.cachemount, frontend and internal";

/// How much of an id and of a description is shown.
const SHORT: (usize, usize) = (12, 60);

pub(super) async fn du(connection: &Connection, args: Du) -> Result<(), Failure> {
    let (mut told, mut failures) = (Vec::new(), Failures::default());
    let members = pool::all(connection).await?;
    let several = members.iter().any(|member| member.name.is_some());
    for member in members {
        if !args.json {
            member.head();
        }
        let name = member.name.clone();
        let usage = match ask(member.agent, &args).await {
            Ok(usage) => usage,
            Err(failure) => {
                failures.add(name.as_deref(), failure);
                continue;
            }
        };
        if args.json {
            let mut value = json(&usage, args.verbose);
            value["agent"] = name.into();
            told.push(value);
            continue;
        }
        print(&usage);
        if args.verbose {
            print_records(&usage);
        }
    }
    match told.pop() {
        Some(only) if !several => text::data(&only.to_string()),
        Some(last) => text::data(&told.into_iter().chain([last]).collect::<serde_json::Value>().to_string()),
        None => {}
    }
    failures.end()
}

async fn ask(mut agent: Agent, args: &Du) -> Result<pb::DiskUsageResponse, Failure> {
    let mut request = DiskUsageRequest { wait: agent.wait, ..DiskUsageRequest::default() };
    request.records = if args.verbose { MOST_RECORDS } else { 0 };
    for filter in &args.filter {
        match filter {
            HeldFilter::Kind(kind) => request.kinds.push(kind.clone()),
            // Each narrows it down.
            HeldFilter::UnusedFor(age) => request.unused_for = request.unused_for.max(*age),
        }
    }
    let kinds = request.kinds.clone();
    let call = agent.client.disk_usage(pb::DiskUsageRequest::from(request));
    let usage = call.await.map_err(|status| wire::from_status(&status))?.into_inner();
    for kind in kinds.iter().filter(|kind| usage.kinds.iter().all(|sum| sum.name != **kind)) {
        text::notice(&format!("nothing of type={kind} was found; the types are {TYPES}"));
    }
    Ok(usage)
}

fn print(usage: &pb::DiskUsageResponse) {
    let head = ["TYPE", "COUNT", "IN USE", "SIZE", "SHARED", "RECLAIMABLE", "LAST USED"].map(str::to_owned);
    let row = |sum: &DiskSum| {
        let [size, shared, reclaimable] = [sum.bytes, sum.shared_bytes, sum.reclaimable_bytes].map(text::bytes);
        let (count, in_use) = (sum.count.to_string(), sum.in_use.to_string());
        [sum.name.clone(), count, in_use, size, shared, reclaimable, ago(sum.last_used)]
    };
    text::table(std::iter::once(head).chain(usage.kinds.iter().chain(&usage.total).map(row)));
    text::data("");
    let head = ["USED", "COUNT", "SIZE", "RECLAIMABLE"].map(str::to_owned);
    let row = |sum: &DiskSum| {
        [sum.name.clone(), sum.count.to_string(), text::bytes(sum.bytes), text::bytes(sum.reclaimable_bytes)]
    };
    text::table(std::iter::once(head).chain(usage.ages.iter().map(row)));
}

fn print_records(usage: &pb::DiskUsageResponse) {
    text::data("");
    let head = ["ID", "TYPE", "SIZE", "STATE", "USES", "LAST USED", "DESCRIPTION"].map(str::to_owned);
    let row = |record: &DiskRecord| {
        let id = record.id.trim_start_matches("sha256:").chars().take(SHORT.0).collect();
        let state = match (record.in_use, record.shared) {
            (true, true) => "in use, shared",
            (true, false) => "in use",
            (false, true) => "shared",
            (false, false) => "-",
        };
        let description = record.description.chars().filter(|c| !c.is_control()).take(SHORT.1).collect();
        let last_used = ago(record.last_used.or(record.created));
        let uses = record.usage_count.to_string();
        [id, record.kind.clone(), text::bytes(record.bytes), state.to_owned(), uses, last_used, description]
    };
    text::table(std::iter::once(head).chain(usage.records.iter().map(row)));
    if usage.left_out > 0 {
        text::notice(&format!("{} smaller records are not listed; --filter narrows it down", usage.left_out));
    }
}

/// The last second of the year 9999: later ones cannot be written, and are no dates.
const LAST: u64 = 253_402_300_799;

fn time(seconds: Option<i64>) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds?).ok().filter(|seconds| *seconds <= LAST)?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// How long ago this was, in its largest unit.
fn ago(seconds: Option<i64>) -> String {
    let Some(then) = time(seconds) else { return "-".to_owned() };
    let age = SystemTime::now().duration_since(then).unwrap_or_default().as_secs();
    let (count, unit) = match age {
        ..60 => (age, "s"),
        60..3600 => (age / 60, " min"),
        3600..172_800 => (age / 3600, " h"),
        _ => (age / 86400, " days"),
    };
    format!("{count}{unit} ago")
}

fn json(usage: &pb::DiskUsageResponse, verbose: bool) -> serde_json::Value {
    let date = |seconds| time(seconds).map(|time| humantime::format_rfc3339_seconds(time).to_string());
    let sum = |sum: &DiskSum| {
        serde_json::json!({
            "name": sum.name,
            "count": sum.count,
            "inUse": sum.in_use,
            "bytes": sum.bytes,
            "sharedBytes": sum.shared_bytes,
            "reclaimableBytes": sum.reclaimable_bytes,
            "lastUsed": date(sum.last_used),
        })
    };
    let record = |record: &DiskRecord| {
        serde_json::json!({
            "type": record.kind,
            "id": record.id,
            "description": record.description,
            "bytes": record.bytes,
            "inUse": record.in_use,
            "shared": record.shared,
            "created": date(record.created),
            "lastUsed": date(record.last_used),
            "usageCount": record.usage_count,
        })
    };
    let mut value = serde_json::json!({
        "types": usage.kinds.iter().map(sum).collect::<Vec<_>>(),
        "ages": usage.ages.iter().map(sum).collect::<Vec<_>>(),
        "total": usage.total.as_ref().map(sum),
    });
    if verbose {
        value["records"] = usage.records.iter().map(record).collect();
        value["recordsLeftOut"] = usage.left_out.into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_with_an_odd_clock_is_shown_too() {
        for odd in [None, Some(-1), Some(i64::MAX)] {
            let sum = DiskSum { last_used: odd, ..DiskSum::default() };
            assert_eq!(ago(odd), "-");
            let usage = pb::DiskUsageResponse { total: Some(sum), ..pb::DiskUsageResponse::default() };
            assert!(json(&usage, false)["total"]["lastUsed"].is_null());
        }
        assert!(ago(Some(0)).ends_with(" days ago"));
    }
}
