//! `BuildKit`'s Status > JSON, with the keys that its own client gives it (`client/graph.go`).

use std::{
    borrow::Cow,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard_buildkit_proto::{
    google::protobuf::Timestamp,
    moby::buildkit::v1::{self, StatusResponse},
    pb,
};
use serde::{Serialize, Serializer};

use crate::model::without_credentials;

/// One JSON text without a line's end.
pub(super) fn json(status: &StatusResponse) -> Vec<u8> {
    let status = Status {
        vertexes: status.vertexes.iter().map(Vertex::of).collect(),
        statuses: status.statuses.iter().map(VertexStatus::of).collect(),
        logs: status.logs.iter().map(Log::of).collect(),
        warnings: status.warnings.iter().map(Warning::of).collect(),
    };
    // Strings, numbers and lists of them always become JSON.
    serde_json::to_vec(&status).unwrap_or_default()
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vertexes: Vec<Vertex<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<VertexStatus<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<Log<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Vertex<'a> {
    digest: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    inputs: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<Time>,
    #[serde(skip_serializing_if = "is_false")]
    cached: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress_group: Option<Group<'a>>,
}

#[derive(Serialize)]
struct Group<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    weak: bool,
}

#[derive(Serialize)]
struct VertexStatus<'a> {
    id: &'a str,
    vertex: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    total: i64,
    current: i64,
    timestamp: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<Time>,
}

#[derive(Serialize)]
struct Log<'a> {
    vertex: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    stream: i64,
    data: Base64<'a>,
    timestamp: Time,
}

/// Without the definition that BuildKit fetched the Dockerfile by: nobody reads that.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Warning<'a> {
    vertex: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    level: i64,
    short: Base64<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detail: Vec<Base64<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<SourceInfo<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    range: Vec<Range>,
}

#[derive(Serialize)]
struct SourceInfo<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    filename: &'a str,
    data: Base64<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    language: &'a str,
}

#[derive(Serialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Serialize)]
struct Position {
    #[serde(skip_serializing_if = "is_zero")]
    line: i64,
    #[serde(skip_serializing_if = "is_zero")]
    character: i64,
}

impl<'a> Vertex<'a> {
    fn of(vertex: &'a v1::Vertex) -> Self {
        let group = |group: &'a pb::ProgressGroup| Group { id: &group.id, name: &group.name, weak: group.weak };
        Self {
            digest: &vertex.digest,
            inputs: &vertex.inputs,
            name: without_credentials(&vertex.name),
            started: vertex.started.map(Time),
            completed: vertex.completed.map(Time),
            cached: vertex.cached,
            error: without_credentials(&vertex.error),
            progress_group: vertex.progress_group.as_ref().map(group),
        }
    }
}

impl<'a> VertexStatus<'a> {
    fn of(status: &'a v1::VertexStatus) -> Self {
        Self {
            id: &status.id,
            vertex: &status.vertex,
            name: &status.name,
            total: status.total,
            current: status.current,
            timestamp: Time(status.timestamp.unwrap_or_default()),
            started: status.started.map(Time),
            completed: status.completed.map(Time),
        }
    }
}

impl<'a> Log<'a> {
    fn of(log: &'a v1::VertexLog) -> Self {
        let timestamp = Time(log.timestamp.unwrap_or_default());
        Self { vertex: &log.vertex, stream: log.stream, data: Base64(&log.msg), timestamp }
    }
}

impl<'a> Warning<'a> {
    fn of(warning: &'a v1::VertexWarning) -> Self {
        let position = |position: Option<pb::Position>| {
            let pb::Position { line, character } = position.unwrap_or_default();
            Position { line: line.into(), character: character.into() }
        };
        let source = |info: &'a pb::SourceInfo| SourceInfo {
            filename: &info.filename,
            data: Base64(&info.data),
            language: &info.language,
        };
        Self {
            vertex: &warning.vertex,
            level: warning.level,
            short: Base64(&warning.short),
            detail: warning.detail.iter().map(|line| Base64(line)).collect(),
            url: &warning.url,
            source_info: warning.info.as_ref().map(source),
            range: warning.ranges.iter().map(|r| Range { start: position(r.start), end: position(r.end) }).collect(),
        }
    }
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

struct Time(Timestamp);

/// The last second that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = u64::try_from(self.0.seconds).unwrap_or(0).min(LAST_SECOND);
        let nanos = u32::try_from(self.0.nanos).unwrap_or(0).min(999_999_999);
        let time = UNIX_EPOCH + Duration::new(seconds, nanos);
        serializer.collect_str(&humantime::format_rfc3339(time))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes it so
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_that_tools_for_docker_read() {
        let time = |seconds, nanos| Some(Timestamp { seconds, nanos });
        let status = StatusResponse {
            vertexes: vec![v1::Vertex {
                digest: "sha256:a".to_owned(),
                inputs: vec!["sha256:b".to_owned()],
                name: "[2/2] RUN x".to_owned(),
                cached: true,
                started: time(1_700_000_000, 120_000_000),
                ..v1::Vertex::default()
            }],
            statuses: vec![v1::VertexStatus {
                id: "transferring".to_owned(),
                vertex: "sha256:a".to_owned(),
                current: 3,
                timestamp: time(i64::MAX, -1),
                ..v1::VertexStatus::default()
            }],
            logs: vec![v1::VertexLog {
                vertex: "sha256:a".to_owned(),
                timestamp: time(0, 0),
                stream: 1,
                msg: b"hello\n".to_vec(),
            }],
            warnings: vec![v1::VertexWarning {
                vertex: "sha256:a".to_owned(),
                level: 1,
                short: b"s".to_vec(),
                ranges: vec![pb::Range { start: Some(pb::Position { line: 3, character: 0 }), end: None }],
                ..v1::VertexWarning::default()
            }],
        };
        assert_eq!(
            String::from_utf8(json(&status)).unwrap(),
            concat!(
                r#"{"vertexes":[{"digest":"sha256:a","inputs":["sha256:b"],"name":"[2/2] RUN x","#,
                r#""started":"2023-11-14T22:13:20.120000000Z","cached":true}],"#,
                r#""statuses":[{"id":"transferring","vertex":"sha256:a","current":3,"#,
                r#""timestamp":"9999-12-31T23:59:59Z"}],"#,
                r#""logs":[{"vertex":"sha256:a","stream":1,"data":"aGVsbG8K","timestamp":"1970-01-01T00:00:00Z"}],"#,
                r#""warnings":[{"vertex":"sha256:a","level":1,"short":"cw==","#,
                r#""range":[{"start":{"line":3},"end":{}}]}]}"#,
            )
        );
        assert_eq!(json(&StatusResponse::default()), b"{}");
    }
}
