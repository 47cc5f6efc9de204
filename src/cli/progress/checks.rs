//! What the engine's checks of the Dockerfile found: each once, at the end.

/// Findings, in the order in which they came. The engine may read a Dockerfile twice, and finds the same again.
#[derive(Default)]
pub(super) struct Checks(Vec<(String, String)>);

impl Checks {
    pub(super) fn add(&mut self, text: String, url: String) {
        let found = (text, url);
        if !self.0.contains(&found) {
            self.0.push(found);
        }
    }

    /// A line about each.
    pub(super) fn take(&mut self) -> impl Iterator<Item = String> {
        std::mem::take(&mut self.0).into_iter().map(|(text, url)| match url.as_str() {
            "" => text,
            url => format!("{text}, see {url}"),
        })
    }
}
