//! `CircleCI`: <https://circleci.com/docs/reference/variables/>. Neither the default branch nor a target is among them.
//!
//! What is sure by it: `CIRCLE_PR_NUMBER`, `CIRCLE_PR_REPONAME` and `CIRCLE_PR_USERNAME` are set of forks alone, with
//! GitHub's OAuth app and Bitbucket Cloud. Elsewhere, with the GitHub App, GitLab and Bitbucket Data Center, it builds no
//! pull requests of forks (<https://circleci.com/docs/guides/integration/oss/>). By experience, not by the documentation:
//! the branch of a fork is `pull/12`, or what the API was told, such as `pull/12/head`.

use super::{Build, Context, Variables};

pub(super) fn context(v: Variables<'_>) -> Context {
    Context { name: "CircleCI", build: build(v), default: None, protected: None }
}

fn build(v: Variables<'_>) -> Build {
    let branch = v.get("CIRCLE_BRANCH");
    let fork =
        ["CIRCLE_PR_NUMBER", "CIRCLE_PR_REPONAME", "CIRCLE_PR_USERNAME"].iter().any(|name| v.get(name).is_some());
    // Some were seen with the owner's name before it.
    if fork || branch.is_some_and(|branch| branch.starts_with("pull/") || branch.contains("/pull/")) {
        return Build::fork(None);
    }
    match v.get("CIRCLE_TAG") {
        Some(tag) => Build::Tag(tag.to_owned()),
        None => branch.and_then(Build::queued).unwrap_or_else(|| Build::branch(branch)),
    }
}
