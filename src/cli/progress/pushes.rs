//! Lines about pushes: each layer's end, and the bytes now and then.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::text;

/// Between two lines about the bytes of one push.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Pushes(HashMap<String, Push>);

struct Push {
    layers: HashMap<String, (u64, u64)>,
    said: Instant,
}

impl Pushes {
    /// What is worth a line.
    pub(super) fn line(
        &mut self,
        reference: &str,
        layer: &str,
        state: &str,
        current: u64,
        total: u64,
    ) -> Option<String> {
        let push =
            self.0.entry(reference.to_owned()).or_insert_with(|| Push { layers: HashMap::new(), said: Instant::now() });
        let known = push.layers.entry(layer.to_owned()).or_default();
        *known = (known.0.max(current), known.1.max(total));
        if ended(state) {
            let size = if known.0 > 0 { format!(" {}", text::bytes(known.0)) } else { String::new() };
            Some(format!("push {reference}: {layer} {state}{size}"))
        } else if push.said.elapsed() >= PAUSE {
            push.said = Instant::now();
            let (sent, of) = push.layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
            Some(format!("push {reference}: {} of {}", text::bytes(sent), text::bytes(of.max(sent))))
        } else {
            None
        }
    }
}

/// Whether nothing more comes of a layer in this state.
pub(super) fn ended(state: &str) -> bool {
    matches!(state, "Pushed" | "Layer already exists") || state.starts_with("Mounted")
}
