//! `BuildKit`'s errors > our failures: what failed, in which line of the Dockerfile, and what to do next.

use base64::Engine as _;
use bollard_buildkit_proto::google;
use prost::Message as _;
use serde::Deserialize;
use tonic::{Code, Status};

use super::status::Translator;
use crate::model::{Excerpt, Failure, FailureKind, base_image, own_step, without_credentials};

/// How BuildKit words it that a RUN ended with an error; the second one is 20.10's.
const RUN_FAILED: &[&str] = &["did not complete successfully", "executor failed running"];

/// What a step may be refused.
const ENTITLEMENTS: &[&str] = &["network.host", "security.insecure"];

/// How a frontend words it that it has no further contexts by name.
const NO_CONTEXTS: &str = "unsupported frontend capability moby.buildkit.frontend.contexts";

/// Of an engine that answers.
const UNAVAILABLE: &str = "the engine itself answers: look at what it asked for this, such as the frontend that a line \
                           `# syntax=` names, then try again";

/// Lines of the Dockerfile shown before and after those at fault.
const AROUND: usize = 2;

/// What a failed solve means to the person who started it. `is_gone` says that the engine does not answer any more.
pub(super) fn failure(status: &Status, translator: &Translator, is_gone: bool) -> Failure {
    let details = Details::of(status);
    let failed = translator.failed_step(details.vertex.as_deref());
    let step = failed.as_ref().map(|(name, _)| *name).unwrap_or_default();
    let message = clean(status.message());
    let kind = kind(status, &message, step, is_gone);
    let mut failure = Failure::new(kind, message);
    if matches!(kind, FailureKind::Build | FailureKind::Registry | FailureKind::Policy) {
        failure.excerpt = details.source.as_ref().and_then(Source::excerpt);
        if own_step(step) {
            failure.what = format!("{step}: {}", without_command(&failure.what));
            step.clone_into(&mut failure.step);
        }
        failure.log = failed.map(|(_, log)| log).unwrap_or_default();
    }
    let advice = next(&failure).or((status.code() == Code::Unavailable).then_some(UNAVAILABLE));
    failure.next = advice.unwrap_or_default().to_owned();
    failure
}

/// `BuildKit` wraps the cause in what it was doing for itself.
pub(super) fn clean(message: &str) -> String {
    const WRAPS: &[&str] = &[
        "failed to solve: ",
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve with frontend gateway.v0: ",
        "failed to create LLB definition: ",
        "failed to compute cache key: ",
        "rpc error: code = Unknown desc = ",
    ];
    let mut rest = message.trim();
    while let Some(inner) = WRAPS.iter().find_map(|wrap| rest.strip_prefix(wrap)) {
        rest = inner;
    }
    // The ref in between is a name that only the engine knows.
    if let Some((_, cause)) = rest.strip_prefix("failed to calculate checksum of ref ").and_then(|r| r.split_once(": "))
    {
        rest = cause;
    }
    without_credentials(rest).into_owned()
}

/// Of a RUN that failed, what comes behind the command, which its step's name has.
fn without_command(message: &str) -> &str {
    let quotes = RUN_FAILED.iter().any(|text| message.contains(text));
    let end = message.rfind(": exit code: ").filter(|_| quotes);
    end.map_or(message, |at| message[at..].trim_start_matches(": "))
}

fn kind(status: &Status, message: &str, step: &str, is_gone: bool) -> FailureKind {
    const REGISTRY: &[&str] = &[
        "failed to push",
        "failed to authorize",
        "failed to fetch oauth token",
        "failed to fetch anonymous token",
        "pull access denied",
        "push access denied",
        "insufficient_scope",
        // 20.10's.
        "pulling from host",
        "unexpected status from",
        "unexpected status code",
        "failed to do request",
        "toomanyrequests",
        "failed to resolve source metadata",
        "failed to copy",
    ];
    // It quotes the command, whose words are anybody's.
    if RUN_FAILED.iter().any(|text| message.contains(text)) {
        return FailureKind::Build;
    }
    if REGISTRY.iter().any(|text| message.contains(text)) {
        return FailureKind::Registry;
    }
    if is_gone {
        return FailureKind::Engine;
    }
    if base_image(step).is_some() {
        return FailureKind::Registry;
    }
    if message.contains(NO_CONTEXTS) {
        return FailureKind::Usage;
    }
    // BuildKit words so what was not granted.
    if message.contains("is not allowed") && ENTITLEMENTS.iter().any(|name| message.contains(name)) {
        return FailureKind::Policy;
    }
    match status.code() {
        Code::Cancelled => FailureKind::Cancelled,
        _ => FailureKind::Build,
    }
}

fn next(failure: &Failure) -> Option<&'static str> {
    let has = |text: &str| failure.what.contains(text);
    match failure.kind {
        FailureKind::Usage if has(NO_CONTEXTS) => Some(
            "--build-context needs Docker 23.0 or later, or a line `# syntax=docker/dockerfile:1` at the Dockerfile's \
             beginning",
        ),
        FailureKind::Policy if has("network.host") => {
            Some("build with --network host; the agent must allow it with --allow-entitlement network.host")
        }
        FailureKind::Policy if has("security.insecure") => Some(
            "ask for it with --allow security.insecure; the agent must allow it with --allow-entitlement \
             security.insecure, and the engine by its own configuration",
        ),
        FailureKind::Policy => Some("leave it out of the Dockerfile: builds here cannot be given it"),
        FailureKind::Registry if has("denied") || has("authoriz") || has("401") || has("403") => Some(
            "log in with `docker login` or DOCKER_AUTH_CONFIG where the client runs, or check that this account may use \
                 the repository",
        ),
        FailureKind::Registry if has("not found") => Some("check the image's name and tag"),
        FailureKind::Registry
            if has("HTTP response to HTTPS client") || has("https://") && has("connection refused") =>
        {
            Some(
                "check that the engine reaches the registry; one that speaks plain HTTP is named to the engine \
                 (insecure-registries) and to the agent (--insecure-registry)",
            )
        }
        FailureKind::Registry => Some("check that the engine reaches the registry, then try again"),
        FailureKind::Build | FailureKind::Internal | FailureKind::Engine if has("invalid UTF-8") => {
            Some("write the Dockerfile in UTF-8: a letter of it is in another encoding")
        }
        FailureKind::Engine => Some("look at the engine's own log; a restarted engine is found again by itself"),
        FailureKind::Build if has("failed to read dockerfile") && has("no such file") => {
            Some("name the Dockerfile with -f, relative to where you are")
        }
        FailureKind::Build if has("target stage") => Some("check the name that --target gives against the FROM lines"),
        FailureKind::Build if has("the Dockerfile cannot be empty") => Some("begin it with a FROM line"),
        FailureKind::Build if has("parse error") || has("syntax error") => Some("correct the line"),
        FailureKind::Build if has("secret ") && has(": not found") => {
            Some("lend it to the step with --secret id=ID,src=FILE or --secret id=ID,env=VARIABLE")
        }
        FailureKind::Build if has("ssh forward key") || has("no SSH key") => {
            Some("lend an SSH agent to the step with --ssh default, or --ssh ID=SOCKET")
        }
        FailureKind::Build if has("not found") && (has("COPY ") || has("ADD ")) => {
            Some("check that the file is in the build context, and that no .dockerignore hides it")
        }
        FailureKind::Build if has("no such host") || has("dial tcp") => {
            Some("check that the engine's network reaches that host")
        }
        FailureKind::Build if has("exit code") && failure.log.is_empty() => {
            Some("the step wrote nothing: with `set -x` it says what it does")
        }
        FailureKind::Build if has("exit code") => Some("the step's last lines above say what it met"),
        _ => None,
    }
}

/// What `BuildKit` attaches to its errors, each a JSON text in a protobuf `Any`.
#[derive(Default)]
struct Details {
    vertex: Option<String>,
    source: Option<Source>,
}

impl Details {
    fn of(status: &Status) -> Self {
        let mut details = Self::default();
        let Ok(decoded) = google::rpc::Status::decode(status.details()) else { return details };
        for any in decoded.details {
            tracing::trace!(any.type_url, value = %String::from_utf8_lossy(&any.value), "detail");
            if any.type_url.ends_with("errdefs.Source+json") {
                // The innermost comes first.
                details.source = details.source.or_else(|| serde_json::from_slice(&any.value).ok());
            } else if any.type_url.ends_with("errdefs.Vertex+json") {
                details.vertex =
                    details.vertex.or_else(|| Some(serde_json::from_slice::<Vertex>(&any.value).ok()?.digest));
            }
        }
        details
    }
}

#[derive(Deserialize)]
struct Vertex {
    digest: String,
}

#[derive(Deserialize)]
struct Source {
    info: Option<SourceInfo>,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct SourceInfo {
    #[serde(default)]
    filename: String,
    /// Base64.
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Range {
    start: Option<Position>,
    end: Option<Position>,
}

#[derive(Deserialize, Default, Clone, Copy)]
struct Position {
    #[serde(default)]
    line: u32,
}

impl Source {
    fn excerpt(&self) -> Option<Excerpt> {
        let info = self.info.as_ref()?;
        let data = base64::engine::general_purpose::STANDARD.decode(&info.data).ok()?;
        let text = String::from_utf8_lossy(&data);
        let lines: Vec<&str> = text.lines().collect();
        let line = |position: &Option<Position>| position.unwrap_or_default().line;
        let from = self.ranges.iter().map(|range| line(&range.start)).filter(|line| *line > 0).min()?;
        let to = self.ranges.iter().map(|range| line(&range.end)).max()?.max(from);
        let first = (from as usize - 1).saturating_sub(AROUND);
        let last = (to as usize + AROUND).min(lines.len());
        Some(Excerpt {
            file: info.filename.clone(),
            first_line: u32::try_from(first + 1).ok()?,
            lines: lines.get(first..last)?.iter().map(|&line| line.to_owned()).collect(),
            from_line: from,
            to_line: to,
        })
    }
}
