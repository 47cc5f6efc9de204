//! GitHub Actions, and forges that are compatible with it:
//! <https://docs.github.com/actions/reference/workflows-and-actions/variables>. The default branch is not among them,
//! nor whether a pull request comes from a fork.

use super::{Build, Context, Variables};

/// Events whose workflows run with the default branch's rights, and are used to build what a stranger proposes.
const PRIVILEGED: &[(&str, &str)] = &[
    ("pull_request_target", "a build on pull_request_target, which may be of a fork's code,"),
    ("workflow_run", "a build on workflow_run, which may be of a fork's code,"),
    ("issue_comment", "a build on issue_comment, which may be of a fork's code,"),
];

pub(super) fn context(v: Variables<'_>) -> Context {
    Context { name: "GitHub Actions", build: build(v), default: None, protected: None }
}

fn build(v: Variables<'_>) -> Build {
    let reference = v.get("GITHUB_REF").unwrap_or_default();
    let event = v.get("GITHUB_EVENT_NAME").unwrap_or_default();
    let branch = reference.strip_prefix("refs/heads/").or(v.get("GITHUB_REF_NAME"));
    let base = v.get("GITHUB_BASE_REF");
    if let Some((_, what)) = PRIVILEGED.iter().find(|(privileged, _)| *privileged == event) {
        return Build::Foreign { what, target: base.or(branch).map(str::to_owned) };
    }
    if let Some(request) = reference.strip_prefix("refs/pull/") {
        return Build::numbered(request.split('/').next().filter(|number| !number.is_empty()), base);
    }
    // Of a request that is closed, the ref may be the branch that it went to.
    if event.starts_with("pull_request") {
        return Build::numbered(None, base);
    }
    if reference.starts_with("refs/tags/") || v.says("GITHUB_REF_TYPE", "tag") {
        let name = reference.strip_prefix("refs/tags/").or(v.get("GITHUB_REF_NAME"));
        return Build::Tag(name.unwrap_or_default().to_owned());
    }
    branch.and_then(Build::queued).unwrap_or_else(|| Build::branch(branch))
}
