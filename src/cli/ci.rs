//! What the CI says of this job: a fixed list of environment variables, and nothing else of the environment.

use std::collections::BTreeMap;

use crate::model::{CI_VARIABLES, ci_variable};

/// Those of [`CI_VARIABLES`] that are set and that an agent would take.
pub(super) fn variables() -> BTreeMap<String, String> {
    read(|name| std::env::var(name).ok())
}

fn read(variable: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    CI_VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), ci_variable(name, &variable(name)?)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_ci_says_is_read_and_what_nobody_needs_is_not() {
        let read = read(|name| {
            assert!(CI_VARIABLES.contains(&name), "{name} is nobody's business");
            match name {
                "GITLAB_CI" => Some("true".to_owned()),
                "CI_COMMIT_REF_NAME" => Some("x".repeat(1025)),
                "CI_COMMIT_TAG" => Some(String::new()),
                "BUILDKITE_REPO" => Some("https://user:secret@h.example/a.git".to_owned()),
                _ => None,
            }
        });
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("BUILDKITE_REPO", "https://h.example/a.git"), ("GITLAB_CI", "true")]);
    }
}
