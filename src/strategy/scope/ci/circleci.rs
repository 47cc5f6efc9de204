//! `CircleCI`: <https://circleci.com/docs/reference/variables/>. Neither the default branch nor a target is among them.

use super::{Build, Context, Variables};

pub(super) fn context(v: Variables<'_>) -> Context {
    Context { name: "CircleCI", build: build(v), default: None, protected: None }
}

fn build(v: Variables<'_>) -> Build {
    let branch = v.get("CIRCLE_BRANCH");
    // The former are set of forks alone; a fork's branch is named after its pull request.
    let fork =
        ["CIRCLE_PR_NUMBER", "CIRCLE_PR_REPONAME", "CIRCLE_PR_USERNAME"].iter().any(|name| v.get(name).is_some());
    if fork || branch.is_some_and(|branch| branch.starts_with("pull/")) {
        return Build::fork(None);
    }
    match v.get("CIRCLE_TAG") {
        Some(tag) => Build::Tag(tag.to_owned()),
        None => branch.and_then(Build::queued).unwrap_or_else(|| Build::branch(branch)),
    }
}
