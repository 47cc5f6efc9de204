//! What each CI says of the build that it runs, read from its variables.

mod buildkite;
mod circleci;
mod drone;
mod github;
mod gitlab;
mod jenkins;

use std::collections::BTreeMap;

/// What a CI says of a build.
pub(super) struct Context {
    /// The CI's name, for a person.
    pub(super) name: &'static str,
    pub(super) build: Build,
    /// The default branch, where the CI tells it.
    pub(super) default: Option<String>,
    /// A branch that the CI calls protected, and that is not the one being built.
    pub(super) protected: Option<String>,
}

/// What is built.
pub(super) enum Build {
    /// A branch of the project itself.
    Branch(String),
    /// A merge request, whose cache is that of its source branch where that is known to be the project's own.
    Merge { own: String, target: Option<String> },
    /// What may be anybody's code, and has no cache of its own. `what` begins a sentence.
    Foreign { what: &'static str, target: Option<String> },
    /// A tag.
    Tag(String),
    /// The CI does not say; the line says why.
    Unknown(&'static str),
}

impl Build {
    /// Where it is to be merged.
    pub(super) fn target(&self) -> Option<&str> {
        match self {
            Self::Merge { target, .. } | Self::Foreign { target, .. } => target.as_deref(),
            Self::Branch(_) | Self::Tag(_) | Self::Unknown(_) => None,
        }
    }

    /// A branch by its name; what git and CIs write for "none" is none.
    fn branch(name: Option<&str>) -> Self {
        match name {
            None => Self::Unknown("its variables name none"),
            Some("HEAD" | "detached" | "(no branch)") => Self::Unknown("the checkout is detached"),
            Some(name) => Self::Branch(name.to_owned()),
        }
    }

    fn fork(target: Option<&str>) -> Self {
        Self::Foreign { what: "a build of a fork", target: target.map(str::to_owned) }
    }

    /// A request whose source branch is the project's own.
    fn merge(source: &str, target: Option<&str>) -> Self {
        Self::Merge { own: source.to_owned(), target: target.map(str::to_owned) }
    }

    /// A request that may come from a fork or not: its cache is that of its number. No branch can be named like it,
    /// since git allows no colon.
    fn numbered(number: Option<&str>, target: Option<&str>) -> Self {
        match number {
            Some(number) => Self::merge(&format!("pull:{number}"), target),
            None => Self::Foreign {
                what: "a build of a merge request of unknown origin",
                target: target.map(str::to_owned),
            },
        }
    }

    /// A branch that a forge's merge queue made, to be gone after the build: `gh-readonly-queue/main/pr-1-0a1b2c`.
    fn queued(branch: &str) -> Option<Self> {
        let (target, _) = branch.strip_prefix("gh-readonly-queue/")?.rsplit_once('/')?;
        Some(Self::queue(target))
    }

    fn queue(target: &str) -> Self {
        Self::Foreign { what: "a build of a merge queue", target: Some(target.to_owned()) }
    }
}

/// The variables of a build. An empty one is as good as none.
#[derive(Clone, Copy)]
struct Variables<'a>(&'a BTreeMap<String, String>);

impl<'a> Variables<'a> {
    fn get(self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn owned(self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    fn says(self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }
}

/// What the CI says, if there is one. Jenkins comes last: its variables are in its images too, which others may run.
pub(super) fn context(variables: &BTreeMap<String, String>) -> Option<Context> {
    let v = Variables(variables);
    if v.says("GITLAB_CI", "true") {
        Some(gitlab::context(v))
    } else if v.says("GITHUB_ACTIONS", "true") {
        Some(github::context(v))
    } else if v.says("BUILDKITE", "true") {
        Some(buildkite::context(v))
    } else if v.says("CIRCLECI", "true") {
        Some(circleci::context(v))
    } else if v.says("CI", "woodpecker") {
        Some(drone::woodpecker(v))
    } else if v.says("DRONE", "true") {
        Some(drone::drone(v))
    } else if v.get("JENKINS_URL").or(v.get("JENKINS_HOME")).is_some() {
        Some(jenkins::context(v))
    } else {
        None
    }
}
