//! Buildkite: <https://buildkite.com/docs/pipelines/configure/environment-variables>.
//!
//! What is sure by it: a pull request has its number, and the repository that it comes from, which tells a fork; no
//! pipeline step can set either. The branch of a fork is named as it is there, which may be `main`, or `user:main` where
//! the pipeline's settings want that. A build that another pipeline's trigger step started knows of a pull request what
//! that step passes on: it may be of a fork, and say "false".

use super::{Build, Context, Variables};

pub(super) fn context(v: Variables<'_>) -> Context {
    Context {
        name: "Buildkite",
        build: build(v),
        default: v.owned("BUILDKITE_PIPELINE_DEFAULT_BRANCH"),
        protected: None,
    }
}

fn build(v: Variables<'_>) -> Build {
    if let Some(tag) = v.get("BUILDKITE_TAG") {
        return Build::Tag(tag.to_owned());
    }
    let branch = v.get("BUILDKITE_BRANCH");
    let target = v.get("BUILDKITE_PULL_REQUEST_BASE_BRANCH");
    // Git allows no colon in a branch of ours.
    if branch.is_some_and(|branch| branch.contains(':')) {
        return Build::fork(target);
    }
    // "false" where there is none.
    let Some(number) = v.get("BUILDKITE_PULL_REQUEST").filter(|number| *number != "false") else {
        return match v.get("BUILDKITE_MERGE_QUEUE_BASE_BRANCH") {
            Some(target) => Build::queue(target),
            None if v.says("BUILDKITE_SOURCE", "trigger_job") => {
                Build::Unknown("another pipeline triggered it, and may have done so for a fork")
            }
            None => branch.and_then(Build::queued).unwrap_or_else(|| Build::branch(branch)),
        };
    };
    match (v.get("BUILDKITE_PULL_REQUEST_REPO").zip(v.get("BUILDKITE_REPO")), branch) {
        (Some((from, to)), _) if path(from) != path(to) => Build::fork(target),
        (Some(_), Some(source)) => Build::merge(source, target),
        _ => Build::numbered(Some(number), target),
    }
}

/// The path of a repository, whether its address is a URL or `git@host:path`. Both sides of a request are on one host,
/// by whatever name each is reached.
fn path(repository: &str) -> String {
    let path = match repository.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => repository.split_once(':').map_or(repository, |(_, path)| path),
    };
    let path = path.trim_matches('/').to_lowercase();
    path.strip_suffix(".git").unwrap_or(&path).to_owned()
}
