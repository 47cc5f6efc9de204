//! BuildKit's own status, a JSON text a line, as `docker buildx build --progress=rawjson` writes it.

use std::{collections::BTreeSet, io::Write as _, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use humantime::format_rfc3339_nanos;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Display, Out};
use crate::model::Event;

/// What the engine says is passed on as it is. What happens beside it, pushes and warnings, is said in its words.
pub(super) struct RawJson {
    out: Out,
    /// What is being pushed.
    pushing: BTreeSet<String>,
}

impl RawJson {
    pub(super) fn new(out: Out) -> Self {
        Self { out, pushing: BTreeSet::new() }
    }

    fn line(&mut self, value: &Value) {
        drop(writeln!(self.out, "{value}"));
    }

    /// The push of an image as a vertex, in which each layer has a status.
    fn push(&mut self, reference: String, layer: &str, state: &str, current: u64, total: u64) {
        let (digest, now) = (vertex(&name(&reference)), now());
        if !self.pushing.contains(&reference) {
            self.line(&json!({"vertexes": [{"digest": digest, "name": name(&reference), "started": now}]}));
            self.pushing.insert(reference);
        }
        let mut status = json!({"id": layer, "vertex": digest, "name": state, "current": current, "timestamp": now});
        if total > 0 {
            status["total"] = total.into();
        }
        if super::pushes::ended(state) {
            status["completed"] = now.into();
        }
        self.line(&json!({ "statuses": [status] }));
    }
}

fn name(reference: &str) -> String {
    format!("pushing {reference}")
}

fn vertex(name: &str) -> String {
    let bytes = Sha256::digest(name);
    bytes.iter().fold("sha256:".to_owned(), |digest, byte| format!("{digest}{byte:02x}"))
}

fn now() -> String {
    format_rfc3339_nanos(SystemTime::now()).to_string()
}

impl Display for RawJson {
    fn show(&mut self, event: Event) {
        match event {
            Event::Status { json } => {
                drop(self.out.write_all(&json));
                drop(self.out.write_all(b"\n"));
            }
            Event::Notice { warning: true, text } => {
                self.line(&json!({"warnings": [{"level": 1, "short": STANDARD.encode(text)}]}));
            }
            Event::PushProgress { reference, layer, state, current, total } => {
                self.push(reference, &layer, &state, current, total);
            }
            Event::Pushed { reference, .. } if self.pushing.remove(&reference) => {
                let (digest, now) = (vertex(&name(&reference)), now());
                self.line(&json!({"vertexes": [{"digest": digest, "name": name(&reference), "completed": now}]}));
            }
            _ => {}
        }
    }

    /// As a vertex that is done as soon as it is told.
    fn waiting(&mut self, text: String) {
        let (digest, now) = (vertex(&text), now());
        self.line(&json!({"vertexes": [{"digest": digest, "name": text, "started": now, "completed": now}]}));
    }

    fn rest(&mut self) {
        drop(self.out.flush());
    }
}
