//! GitLab CI: <https://docs.gitlab.com/ci/variables/predefined_variables/>.

use super::{Build, Context, Variables};

pub(super) fn context(v: Variables<'_>) -> Context {
    let protected = v
        .get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
        // Of a merge request's pipeline, the latter is true where both branches are protected.
        .filter(|_| {
            ["CI_MERGE_REQUEST_SOURCE_BRANCH_PROTECTED", "CI_COMMIT_REF_PROTECTED"].iter().any(|n| v.says(n, "true"))
        });
    Context {
        name: "GitLab CI",
        build: build(v),
        default: v.owned("CI_DEFAULT_BRANCH"),
        protected: protected.map(str::to_owned),
    }
}

fn build(v: Variables<'_>) -> Build {
    // Of a merge request's pipeline, CI_COMMIT_REF_NAME is the name of the source branch, a fork's as well.
    if v.get("CI_MERGE_REQUEST_IID").is_some() || v.says("CI_PIPELINE_SOURCE", "merge_request_event") {
        return request(
            v.get("CI_MERGE_REQUEST_IID"),
            v.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID").zip(v.get("CI_MERGE_REQUEST_PROJECT_ID")),
            v.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"),
            v.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"),
        );
    }
    if v.get("CI_EXTERNAL_PULL_REQUEST_IID").is_some() || v.says("CI_PIPELINE_SOURCE", "external_pull_request_event") {
        let repository = |side: &str| v.get(&format!("CI_EXTERNAL_PULL_REQUEST_{side}_REPOSITORY"));
        return request(
            v.get("CI_EXTERNAL_PULL_REQUEST_IID"),
            repository("SOURCE").zip(repository("TARGET")),
            v.get("CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME"),
            v.get("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME"),
        );
    }
    match v.get("CI_COMMIT_TAG") {
        Some(tag) => Build::Tag(tag.to_owned()),
        None => Build::branch(v.get("CI_COMMIT_REF_NAME").or(v.get("CI_COMMIT_REF_SLUG"))),
    }
}

/// `projects` are source and target.
fn request(number: Option<&str>, projects: Option<(&str, &str)>, source: Option<&str>, target: Option<&str>) -> Build {
    match (projects, source) {
        (Some((from, to)), _) if from != to => Build::fork(target),
        (Some(_), Some(source)) => Build::merge(source, target),
        _ => Build::numbered(number, target),
    }
}
