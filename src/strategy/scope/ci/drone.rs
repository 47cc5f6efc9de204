//! Drone and its relative Woodpecker: <https://docs.drone.io/pipeline/environment/reference/> and
//! <https://woodpecker-ci.org/docs/usage/environment>. Neither tells whether a pull request comes from a fork, and both
//! give the target's name as the branch of one.

use super::{Build, Context, Variables};

pub(super) fn woodpecker(v: Variables<'_>) -> Context {
    let said = Said {
        // The older name was that of version 0.15.
        event: v.get("CI_PIPELINE_EVENT").or(v.get("CI_BUILD_EVENT")),
        reference: v.get("CI_COMMIT_REF"),
        branch: v.get("CI_COMMIT_BRANCH"),
        target: v.get("CI_COMMIT_TARGET_BRANCH").or(v.get("CI_COMMIT_BRANCH")),
        number: v.get("CI_COMMIT_PULL_REQUEST"),
        tag: v.get("CI_COMMIT_TAG"),
    };
    let default = v.owned("CI_REPO_DEFAULT_BRANCH");
    Context { name: "Woodpecker", build: said.build(), default, protected: None }
}

pub(super) fn drone(v: Variables<'_>) -> Context {
    let said = Said {
        event: v.get("DRONE_BUILD_EVENT"),
        reference: v.get("DRONE_COMMIT_REF"),
        branch: v.get("DRONE_BRANCH"),
        target: v.get("DRONE_TARGET_BRANCH").or(v.get("DRONE_BRANCH")),
        number: v.get("DRONE_PULL_REQUEST"),
        tag: v.get("DRONE_TAG"),
    };
    Context { name: "Drone", build: said.build(), default: v.owned("DRONE_REPO_BRANCH"), protected: None }
}

struct Said<'a> {
    event: Option<&'a str>,
    reference: Option<&'a str>,
    branch: Option<&'a str>,
    target: Option<&'a str>,
    number: Option<&'a str>,
    tag: Option<&'a str>,
}

impl Said<'_> {
    fn build(self) -> Build {
        let event = self.event.unwrap_or_default();
        if self.tag.is_some() || matches!(event, "tag" | "release") {
            return Build::Tag(self.tag.unwrap_or_default().to_owned());
        }
        // A request that is promoted or deployed has another event, and its ref still.
        let elsewhere = self.reference.is_some_and(|reference| !reference.starts_with("refs/heads/"));
        if event.starts_with("pull_request") || self.number.is_some() || elsewhere {
            let number = self.number.or_else(|| {
                let mut parts = self.reference.unwrap_or_default().split('/');
                parts.find(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
            });
            return Build::numbered(number, self.target);
        }
        Build::branch(self.branch)
    }
}
