//! How a build is to use the cache, and what its CI says of it.

use std::{collections::BTreeMap, fmt};

use super::Reference;

/// The environment variables that a client reads and sends: what each CI says of branch, tag and merge request. Nothing
/// else of the environment is looked at.
pub const CI_VARIABLES: &[&str] = &[
    // GitLab
    "GITLAB_CI",
    "CI_PROJECT_PATH",
    "CI_COMMIT_REF_NAME",
    "CI_COMMIT_REF_SLUG",
    "CI_COMMIT_REF_PROTECTED",
    "CI_COMMIT_TAG", // Woodpecker too
    "CI_DEFAULT_BRANCH",
    "CI_PIPELINE_SOURCE",
    "CI_MERGE_REQUEST_IID",
    "CI_MERGE_REQUEST_PROJECT_ID",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_PROTECTED",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    "CI_EXTERNAL_PULL_REQUEST_IID",
    "CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY",
    "CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY",
    "CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME",
    "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME",
    // Jenkins
    "JENKINS_URL",
    "JENKINS_HOME",
    "BRANCH_NAME",
    "BRANCH_IS_PRIMARY",
    "CHANGE_ID",
    "CHANGE_BRANCH",
    "CHANGE_FORK",
    "CHANGE_TARGET",
    "TAG_NAME",
    "GIT_BRANCH",
    // GitHub Actions, and what is compatible with it
    "GITHUB_ACTIONS",
    "GITHUB_REPOSITORY",
    "GITHUB_EVENT_NAME",
    "GITHUB_REF",
    "GITHUB_REF_NAME",
    "GITHUB_REF_TYPE",
    "GITHUB_BASE_REF",
    // Buildkite
    "BUILDKITE",
    "BUILDKITE_BRANCH",
    "BUILDKITE_TAG",
    "BUILDKITE_REPO",
    "BUILDKITE_PIPELINE_DEFAULT_BRANCH",
    "BUILDKITE_PULL_REQUEST",
    "BUILDKITE_PULL_REQUEST_BASE_BRANCH",
    "BUILDKITE_PULL_REQUEST_REPO",
    "BUILDKITE_MERGE_QUEUE_BASE_BRANCH",
    "BUILDKITE_SOURCE",
    // CircleCI
    "CIRCLECI",
    "CIRCLE_BRANCH",
    "CIRCLE_TAG",
    "CIRCLE_PR_NUMBER",
    "CIRCLE_PR_REPONAME",
    "CIRCLE_PR_USERNAME",
    // Woodpecker
    "CI",
    "CI_REPO",
    "CI_PIPELINE_EVENT",
    "CI_BUILD_EVENT",
    "CI_COMMIT_REF",
    "CI_COMMIT_BRANCH",
    "CI_COMMIT_TARGET_BRANCH",
    "CI_COMMIT_PULL_REQUEST",
    "CI_REPO_DEFAULT_BRANCH",
    // Drone
    "DRONE",
    "DRONE_REPO",
    "DRONE_BUILD_EVENT",
    "DRONE_COMMIT_REF",
    "DRONE_BRANCH",
    "DRONE_TARGET_BRANCH",
    "DRONE_PULL_REQUEST",
    "DRONE_TAG",
    "DRONE_REPO_BRANCH",
];

/// The most bytes of a scope's name, and of a variable's value.
pub const LONGEST_SCOPE: usize = 2048;

/// The most fall-backs that a request may name.
pub const MOST_FALLBACKS: usize = 32;

/// How cache is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// As the engine does it best.
    #[default]
    Auto,
    /// Within images.
    Inline,
    /// As a cache manifest with every layer of every stage.
    Registry,
    /// Not at all, nor imported.
    Off,
}

/// How a build is to use the cache.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CacheRequest {
    /// How cache is exported.
    pub mode: CacheMode,
    /// Whose cache it is, where the caller says so. A name that [`check_scope`] takes.
    pub scope: Option<String>,
    /// Whose cache to read besides, best first. Where it is empty, what the CI says decides.
    pub fallbacks: Vec<String>,
    /// Where cache lies, instead of the image's own repository. Its tag means nothing.
    pub repository: Option<Reference>,
    /// What the CI says: those of [`CI_VARIABLES`] that are set.
    pub variables: BTreeMap<String, String>,
}

impl CacheRequest {
    /// Whether the caller wants something. What the CI says it only passes on.
    pub fn asks(&self) -> bool {
        let Self { mode, scope, fallbacks, repository, variables: _ } = self;
        *mode != CacheMode::Auto || scope.is_some() || !fallbacks.is_empty() || repository.is_some()
    }
}

/// Values of variables come from outside: a log is told their names alone.
impl fmt::Debug for CacheRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheRequest")
            .field("mode", &self.mode)
            .field("scope", &self.scope)
            .field("fallbacks", &self.fallbacks)
            .field("repository", &self.repository)
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Says what is wrong with the name of a scope, if anything is.
pub fn check_scope(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("the name of a cache scope is empty")
    } else if name.len() > LONGEST_SCOPE {
        Err("the name of a cache scope is longer than 2048 bytes")
    } else if name.chars().any(char::is_control) {
        Err("the name of a cache scope holds a control character")
    } else {
        Ok(())
    }
}

/// Reads the repository where cache shall lie.
pub fn cache_repository(text: &str) -> Result<Reference, &'static str> {
    let repository = text.parse::<Reference>().map_err(|invalid| invalid.problem)?;
    if repository.digest().is_some() {
        return Err("a repository is wanted, and not a digest");
    }
    if repository.is_official() {
        return Err("it names Docker Hub's official images: a repository of your own is wanted");
    }
    Ok(repository)
}

/// What of a variable may be sent and used. `None` where it is not one of [`CI_VARIABLES`], or its value is empty,
/// longer than [`LONGEST_SCOPE`] or not one line. URLs lose user and password: some CIs clone with a token in them.
pub fn ci_variable(name: &str, value: &str) -> Option<String> {
    if !CI_VARIABLES.contains(&name) || check_scope(value).is_err() {
        return None;
    }
    let bare = value.split_once("://").map(|(scheme, rest)| {
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or(authority);
        format!("{scheme}://{host}{path}")
    });
    Some(bare.unwrap_or_else(|| value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_secret_is_asked_of_the_environment() {
        for name in CI_VARIABLES {
            let secret = ["TOKEN", "PASSWORD", "SECRET", "KEY", "CREDENTIAL", "AUTH"];
            assert!(!secret.iter().any(|word| name.contains(word)), "{name}");
            assert_eq!(CI_VARIABLES.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
        assert_eq!(ci_variable("CI_JOB_TOKEN", "x"), None);
    }

    #[test]
    fn a_token_in_the_url_of_a_clone_stays_where_it_is() {
        let read = |url| ci_variable("BUILDKITE_REPO", url);
        for url in
            ["https://u:glpat-1@h.example/a/b.git", "https://tok@en@h.example/a/b.git", "https://h.example/a/b.git"]
        {
            assert_eq!(read(url).as_deref(), Some("https://h.example/a/b.git"));
        }
        assert_eq!(read("https://u:p@h.example").as_deref(), Some("https://h.example"));
        assert_eq!(read("https://h.example/a@b").as_deref(), Some("https://h.example/a@b"));
        assert_eq!(read("git@h.example:a/b.git").as_deref(), Some("git@h.example:a/b.git"));
    }

    #[test]
    fn values_that_are_no_name_are_left_out() {
        let read = |value: &str| ci_variable("CI_COMMIT_REF_NAME", value);
        assert_eq!(read(&"x".repeat(LONGEST_SCOPE)).map(|value| value.len()), Some(LONGEST_SCOPE));
        for odd in ["", &"x".repeat(LONGEST_SCOPE + 1), "a\nb", "\u{1b}[31m"] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_log_is_not_told_what_the_environment_holds() {
        let variables = [("GIT_BRANCH".to_owned(), "hidden".to_owned())].into();
        let text = format!("{:?}", CacheRequest { variables, ..CacheRequest::default() });
        assert!(text.contains("GIT_BRANCH") && !text.contains("hidden"), "{text}");
    }
}
