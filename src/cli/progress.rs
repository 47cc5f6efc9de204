//! Events > lines: one when a step starts, its output, and one when it ends.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::{Duration, Instant},
};

use super::text;
use crate::model::{Event, StepId};

/// Between two lines about the bytes of one push.
const PUSH_PAUSE: Duration = Duration::from_secs(5);

/// Bytes of a line that are kept until it is whole.
const LONGEST_LINE: usize = 64 << 10;

/// Plain progress.
pub(super) struct Progress {
    out: Box<dyn Write + Send>,
    quiet: bool,
    names: HashMap<StepId, String>,
    /// What a step has written of a line that is not whole yet.
    partial: HashMap<StepId, Vec<u8>>,
    pushes: HashMap<String, PushLine>,
}

struct PushLine {
    layers: HashMap<String, (u64, u64)>,
    said: Instant,
}

impl Progress {
    /// On standard error; `quiet` shows warnings alone.
    pub(super) fn new(quiet: bool) -> Self {
        Self::to(Box::new(io::stderr()), quiet)
    }

    fn to(out: Box<dyn Write + Send>, quiet: bool) -> Self {
        Self { out, quiet, names: HashMap::new(), partial: HashMap::new(), pushes: HashMap::new() }
    }

    /// Shows one event.
    pub(super) fn show(&mut self, event: Event) {
        match event {
            Event::Notice { warning: true, text } => self.line(&format!("remora: warning: {text}")),
            _ if self.quiet => {}
            Event::Notice { warning: false, text } => self.line(&format!("remora: {text}")),
            Event::StepStarted { step, name } => {
                self.line(&format!("#{step} {name}"));
                self.names.insert(step, name);
            }
            Event::StepLog { step, data, .. } => self.log(step, &data),
            Event::StepProgress { step, what, current, done: true, .. } if current > 0 => {
                self.line(&format!("#{step}   {what} {}", text::bytes(current)));
            }
            Event::StepDone { step, cached, error, elapsed_ms } => {
                self.done(step, cached, error.as_deref(), elapsed_ms);
            }
            Event::PushProgress { reference, layer, state, current, total } => {
                self.push(&reference, &layer, &state, current, total);
            }
            Event::Pushed { reference, digest } => self.line(&format!("pushed {reference} {digest}")),
            Event::Freed { kind, count, bytes, dry_run, at_most } => {
                let verb = match (dry_run, at_most) {
                    (false, _) => "freed",
                    (true, false) => "would free",
                    (true, true) => "would free at most",
                };
                text::data(&format!("{verb} {} of {kind} ({count})", text::bytes(bytes)));
            }
            Event::StepProgress { .. } | Event::Accepted { .. } | Event::Done(_) => {}
        }
    }

    fn log(&mut self, step: StepId, data: &[u8]) {
        let mut pending = self.partial.remove(&step).unwrap_or_default();
        pending.extend_from_slice(data);
        let whole = match pending.iter().rposition(|&b| b == b'\n') {
            Some(at) => at + 1,
            None if pending.len() > LONGEST_LINE => pending.len(),
            None => 0,
        };
        let rest = pending.split_off(whole);
        for line in pending.split_inclusive(|&b| b == b'\n') {
            self.log_line(step, line);
        }
        if !rest.is_empty() {
            self.partial.insert(step, rest);
        }
    }

    fn log_line(&mut self, step: StepId, line: &[u8]) {
        let end = line.iter().rposition(|b| !b"\r\n".contains(b)).map_or(0, |at| at + 1);
        // A line that was drawn over itself is shown as it was left.
        let start = line[..end].iter().rposition(|&b| b == b'\r').map_or(0, |at| at + 1);
        let mut text = format!("#{step}   ").into_bytes();
        text.extend_from_slice(&line[start..end]);
        text.push(b'\n');
        drop(self.out.write_all(&text));
    }

    fn done(&mut self, step: StepId, cached: bool, error: Option<&str>, elapsed_ms: u64) {
        if let Some(rest) = self.partial.remove(&step) {
            self.log_line(step, &rest);
        }
        let name = self.names.get(&step).map(String::as_str).unwrap_or_default();
        let line = match error {
            Some(error) => format!("#{step} ERROR {name}: {}", error.trim_end()),
            None if cached => format!("#{step} CACHED {name}"),
            None => format!("#{step} DONE {} {name}", text::seconds(elapsed_ms)),
        };
        self.line(&line);
    }

    fn push(&mut self, reference: &str, layer: &str, state: &str, current: u64, total: u64) {
        let push = self
            .pushes
            .entry(reference.to_owned())
            .or_insert_with(|| PushLine { layers: HashMap::new(), said: Instant::now() });
        let known = push.layers.entry(layer.to_owned()).or_default();
        *known = (known.0.max(current), known.1.max(total));
        // The end of a layer is news; its bytes are, now and then.
        if matches!(state, "Pushed" | "Layer already exists") || state.starts_with("Mounted") {
            let size = if known.0 > 0 { format!(" {}", text::bytes(known.0)) } else { String::new() };
            self.line(&format!("push {reference}: {layer} {state}{size}"));
        } else if push.said.elapsed() >= PUSH_PAUSE {
            push.said = Instant::now();
            let (sent, of) = push.layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
            self.line(&format!("push {reference}: {} of {}", text::bytes(sent), text::bytes(of.max(sent))));
        }
    }

    fn line(&mut self, line: &str) {
        // Nobody may be reading any more; the work goes on.
        drop(self.out.write_all(format!("{line}\n").as_bytes()));
    }
}

#[cfg(test)]
mod tests;
