//! What a call came to: the fold over its events.

use std::collections::{BTreeMap, HashMap};

use super::{Answer, Event, Explanation, StepId, own_step};

/// What a call came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps that ended.
    pub steps: u32,
    /// Those of them that came from the cache.
    pub cached_steps: u32,
    /// Bytes of the build context that went to the engine.
    pub context_bytes: u64,
    /// Bytes of layers that came from registries.
    pub pulled_bytes: u64,
    /// What was pushed, with the digest that its registry has of it.
    pub pushed: BTreeMap<String, String>,
    /// Bytes of layers that went to registries, before their compression; `None` where the engine does not say: it pushed
    /// by itself, or it has the containerd store, which tells of layers and seldom of bytes.
    pub pushed_bytes: Option<u64>,
    /// How long it took.
    pub elapsed_ms: u64,
    /// What the engine knows the image by: its config's digest on a graphdriver store, else its manifest's.
    pub image_id: String,
    /// Digest of the manifest, the first one where there are several; empty where nothing was pushed and the store knows none.
    pub digest: String,
    /// The references that the result was given.
    pub tags: Vec<String>,
    /// What BuildKit's exporter answered.
    pub exporter: BTreeMap<String, String>,
    /// How the result came about, by platform, or under no name where there is one result: predicates of SLSA provenance, as JSON. Empty where nobody asked, and where the engine does not tell.
    pub provenance: BTreeMap<String, String>,
    /// What was done about cache, and why; `None` for what is no build.
    pub explanation: Option<Box<Explanation>>,
    /// Id of the build.
    pub build_id: String,
    /// What the frontend said; `None` where it was not asked.
    pub answer: Option<Answer>,
}

impl Report {
    /// Whether the cached image was published as the result, without loading a layer.
    pub fn republished(&self) -> bool {
        let outcome = self.explanation.as_ref().and_then(|explanation| explanation.outcome.as_ref());
        outcome.is_some_and(|outcome| outcome.republished)
    }

    /// What was seen on the way, with what came out in the end.
    #[must_use]
    pub fn with_result(self, result: Self) -> Self {
        let Self { elapsed_ms, image_id, digest, tags, exporter, provenance, explanation, .. } = result;
        Self { elapsed_ms, image_id, digest, tags, exporter, provenance, explanation, ..self }
    }
}

/// What went of one layer to a registry.
#[derive(Debug, Default)]
struct Sent {
    bytes: u64,
    whole: bool,
}

impl Sent {
    /// Bytes; `None` where it went there and the engine has not said how many those are.
    fn known(&self) -> Option<u64> {
        (self.bytes > 0 || !self.whole).then_some(self.bytes)
    }
}

/// The fold that makes a [`Report`] of a build's events.
#[derive(Debug, Default)]
pub struct Tally {
    /// Steps that a person wrote, and whether their last run came from the cache.
    steps: HashMap<StepId, Option<bool>>,
    /// The furthest that each transfer came.
    moved: HashMap<(StepId, String), u64>,
    /// Layers that came from registries; 0 bytes where the engine did not say.
    pulled: BTreeMap<String, u64>,
    pushed: HashMap<(String, String), Sent>,
    tags: BTreeMap<String, String>,
}

impl Tally {
    /// Takes in one event.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step, name } if own_step(name) => {
                self.steps.entry(*step).or_default();
            }
            Event::StepDone { step, cached, error: None, .. } => {
                if let Some(done) = self.steps.get_mut(step) {
                    *done = Some(*cached);
                }
            }
            Event::StepProgress { what, current, .. } if pulled_layer(what).is_some() => {
                let most = self.pulled.entry(pulled_layer(what).unwrap_or_default().to_owned()).or_default();
                *most = (*most).max(*current);
            }
            Event::StepProgress { step, what, current, .. } => {
                let most = self.moved.entry((*step, what.clone())).or_default();
                *most = (*most).max(*current);
            }
            Event::Pushed { reference, digest } => {
                self.tags.insert(reference.clone(), digest.clone());
            }
            Event::PushProgress { reference, layer, state, current, .. } => {
                let sent = self.pushed.entry((reference.clone(), layer.clone())).or_default();
                sent.bytes = sent.bytes.max(*current);
                sent.whole |= state == "Pushed";
            }
            _ => {}
        }
    }

    /// Digests of layers that were pulled, and whose size the engine did not say.
    pub fn unsized_layers(&self) -> impl Iterator<Item = &str> {
        self.pulled.iter().filter(|(_, bytes)| **bytes == 0).map(|(digest, _)| digest.as_str())
    }

    /// Says how many bytes those layers are.
    pub fn size_layers(&mut self, sizes: &BTreeMap<String, u64>) {
        for (digest, bytes) in self.pulled.iter_mut().filter(|(_, bytes)| **bytes == 0) {
            *bytes = sizes.get(digest).copied().unwrap_or(0);
        }
    }

    /// What it came to.
    pub fn report(self) -> Report {
        let count = |wanted: fn(&bool) -> bool| self.steps.values().flatten().filter(|done| wanted(done)).count();
        let moved = |wanted: fn(&str) -> bool| {
            self.moved.iter().filter(|((_, what), _)| wanted(what)).map(|(_, bytes)| bytes).sum::<u64>()
        };
        Report {
            steps: u32::try_from(count(|_| true)).unwrap_or(u32::MAX),
            cached_steps: u32::try_from(count(|cached| *cached)).unwrap_or(u32::MAX),
            context_bytes: moved(|what| what.starts_with("transferring")),
            pushed: self.tags,
            pulled_bytes: self.pulled.values().sum(),
            pushed_bytes: self.pushed.values().map(Sent::known).sum(),
            ..Report::default()
        }
    }
}

/// The layer that a transfer brings: `sha256:...` with its bytes for a base image, `pulling sha256:...` without them for
/// a layer of the cache.
fn pulled_layer(what: &str) -> Option<&str> {
    let digest = what.strip_prefix("pulling ").unwrap_or(what);
    digest.starts_with("sha256:").then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(layers: &[(&str, &str, u64)]) -> Option<u64> {
        let mut tally = Tally::default();
        for (layer, state, current) in layers {
            let (reference, layer, state) = ("r.example/a:1".to_owned(), (*layer).to_owned(), (*state).to_owned());
            tally.add(&Event::PushProgress { reference, layer, state, current: *current, total: 0 });
        }
        tally.report().pushed_bytes
    }

    /// The containerd store may say of a layer that it is there now, and nothing of its bytes: that is not 0 bytes.
    #[test]
    fn bytes_that_nobody_told_are_not_none() {
        assert_eq!(pushed(&[("a", "Pushing", 5), ("a", "Pushed", 0), ("b", "Layer already exists", 0)]), Some(5));
        assert_eq!(pushed(&[("a", "Mounted from b", 0)]), Some(0));
        assert_eq!(pushed(&[("a", "Pushing", 5), ("a", "Pushed", 0), ("b", "Pushed", 0)]), None);
    }
}
