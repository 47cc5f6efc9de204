//! Buildkite: <https://buildkite.com/docs/pipelines/configure/environment-variables>.

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
    // "false" where there is none.
    let Some(number) = v.get("BUILDKITE_PULL_REQUEST").filter(|number| *number != "false") else {
        return branch.and_then(Build::queued).unwrap_or_else(|| Build::branch(branch));
    };
    let target = v.get("BUILDKITE_PULL_REQUEST_BASE_BRANCH");
    match (v.get("BUILDKITE_PULL_REQUEST_REPO").zip(v.get("BUILDKITE_REPO")), branch) {
        (Some((from, to)), _) if path(from) != path(to) => Build::fork(target),
        // As pipelines can be told to write the branches of forks.
        (_, Some(branch)) if branch.contains(':') => Build::fork(target),
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
