//! What each CI's variables come to.

use super::*;

const FORK: &str = "a build of a fork writes no cache";
const TAG: &str = "-; a tag build reads no cache, unless --cache-fallback names whose; a tag build writes no cache";

/// `common` is set in all cases; a case is its name, its variables and what is told of it.
fn check(ci: &str, common: &str, cases: &[(&str, &str, &str)]) {
    for (name, variables, expected) in cases {
        let scopes = scopes(&request(&format!("{common} {variables}")));
        assert_eq!(told(&scopes), *expected, "{ci}: {name}");
        assert_eq!(scopes.ci, Some(ci), "{name}");
    }
}

#[test]
fn gitlab() {
    let main_to = "CI_MERGE_REQUEST_IID=7 CI_MERGE_REQUEST_PROJECT_ID=1 CI_COMMIT_REF_NAME=main
         CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=main CI_MERGE_REQUEST_TARGET_BRANCH_NAME";
    check(
        "GitLab CI",
        "GITLAB_CI=true CI=true CI_DEFAULT_BRANCH=main",
        &[
            ("the default branch", "CI_COMMIT_REF_NAME=main CI_COMMIT_REF_PROTECTED=true", "main; writes"),
            ("a branch", "CI_COMMIT_REF_NAME=feature/x CI_COMMIT_REF_SLUG=feature-x", "feature/x < main; writes"),
            ("a protected branch", "CI_COMMIT_REF_NAME=v1 CI_COMMIT_REF_PROTECTED=true", "v1 < main; writes"),
            ("only a slug", "CI_COMMIT_REF_NAME= CI_COMMIT_REF_SLUG=feature-x", "feature-x < main; writes"),
            ("a tag", "CI_COMMIT_TAG=v1.0 CI_COMMIT_REF_NAME=v1.0", TAG),
            ("no branch", "", "- < main; no branch is known: its variables name none; name one with --cache-scope"),
            (
                "a merge request",
                "CI_MERGE_REQUEST_IID=7 CI_MERGE_REQUEST_PROJECT_ID=1 CI_MERGE_REQUEST_SOURCE_PROJECT_ID=1
                 CI_COMMIT_REF_NAME=feature/x CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=feature/x
                 CI_MERGE_REQUEST_TARGET_BRANCH_NAME=develop",
                "feature/x < develop < main; writes",
            ),
            (
                "a fork whose branch is named like ours",
                &format!("{main_to}=main CI_MERGE_REQUEST_SOURCE_PROJECT_ID=2"),
                &format!("- < main; {FORK}"),
            ),
            (
                "a merge request of the default branch",
                &format!("{main_to}=stable CI_MERGE_REQUEST_SOURCE_PROJECT_ID=1"),
                "main < stable; the cache of main is written by builds of that branch alone, and this is a build of a \
                 merge request",
            ),
            (
                "a merge request of a protected branch",
                "CI_MERGE_REQUEST_IID=7 CI_MERGE_REQUEST_PROJECT_ID=1 CI_MERGE_REQUEST_SOURCE_PROJECT_ID=1
                 CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=staging CI_MERGE_REQUEST_SOURCE_BRANCH_PROTECTED=true
                 CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main",
                "staging < main; the cache of staging is written by builds of that branch alone, and this is a build of \
                 a merge request",
            ),
            ("a merge request of unknown origin", &format!("{main_to}=develop"), "pull:7 < develop < main; writes"),
            (
                "a request of another forge's fork",
                "CI_PIPELINE_SOURCE=external_pull_request_event CI_EXTERNAL_PULL_REQUEST_IID=7 CI_COMMIT_REF_NAME=main
                 CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY=stranger/app
                 CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY=team/app
                 CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME=main CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME=main",
                &format!("- < main; {FORK}"),
            ),
        ],
    );
}

#[test]
fn jenkins() {
    check(
        "Jenkins",
        "JENKINS_URL=https://ci.example/",
        &[
            ("the primary branch", "BRANCH_NAME=trunk BRANCH_IS_PRIMARY=true", "trunk; writes"),
            ("a branch", "BRANCH_NAME=feature/x GIT_BRANCH=feature/x", "feature/x < main < master; writes"),
            ("what is taken for the default branch", "BRANCH_NAME=master", "master; writes"),
            ("a tag", "BRANCH_NAME=v1.0 TAG_NAME=v1.0", TAG),
            (
                "a change",
                "BRANCH_NAME=PR-24 CHANGE_ID=24 CHANGE_BRANCH=feature/x CHANGE_TARGET=develop",
                "feature/x < develop < main < master; writes",
            ),
            (
                "a change of an older plugin",
                "BRANCH_NAME=PR-24 CHANGE_ID=24 CHANGE_TARGET=main",
                "pull:24 < main < master; writes",
            ),
            (
                "a change of a fork",
                "BRANCH_NAME=PR-24 CHANGE_ID=24 CHANGE_BRANCH=main CHANGE_FORK=stranger CHANGE_TARGET=develop",
                &format!("- < develop < main < master; {FORK}"),
            ),
            ("no multibranch", "GIT_BRANCH=origin/feature/x", "feature/x < main < master; writes"),
            ("no multibranch, main", "GIT_BRANCH=origin/main", "main; writes"),
            ("no multibranch, a tag", "GIT_BRANCH=refs/tags/v1.0", TAG),
            (
                "detached",
                "GIT_BRANCH=detached",
                "- < main < master; no branch is known: the checkout is detached; name one with --cache-scope",
            ),
            (
                "no branch",
                "BRANCH_NAME=",
                "- < main < master; no branch is known: its variables name none; name one with --cache-scope",
            ),
        ],
    );
    check("Jenkins", "JENKINS_HOME=/var/jenkins_home", &[("without an address", "BRANCH_NAME=main", "main; writes")]);
    // Its image has this variable, and other CIs run images.
    let image = "JENKINS_HOME=/var/jenkins_home GITLAB_CI=true CI_DEFAULT_BRANCH=main";
    check("GitLab CI", image, &[("a job in the image of Jenkins", "CI_COMMIT_REF_NAME=main", "main; writes")]);
}

#[test]
fn github_actions() {
    check(
        "GitHub Actions",
        "GITHUB_ACTIONS=true CI=true",
        &[
            (
                "a branch",
                "GITHUB_EVENT_NAME=push GITHUB_REF=refs/heads/feature/x GITHUB_REF_NAME=feature/x GITHUB_REF_TYPE=branch",
                "feature/x < main < master; writes",
            ),
            ("main", "GITHUB_EVENT_NAME=push GITHUB_REF=refs/heads/main", "main; writes"),
            ("a tag", "GITHUB_EVENT_NAME=push GITHUB_REF=refs/tags/v1 GITHUB_REF_NAME=v1 GITHUB_REF_TYPE=tag", TAG),
            (
                "a pull request, which may be a fork's",
                "GITHUB_EVENT_NAME=pull_request GITHUB_REF=refs/pull/12/merge GITHUB_REF_NAME=12/merge
                 GITHUB_BASE_REF=develop",
                "pull:12 < develop < main < master; writes",
            ),
            (
                "a pull request that was closed",
                "GITHUB_EVENT_NAME=pull_request GITHUB_REF=refs/heads/main GITHUB_BASE_REF=main",
                "- < main < master; a build of a merge request of unknown origin writes no cache",
            ),
            (
                "pull_request_target, which has main's rights",
                "GITHUB_EVENT_NAME=pull_request_target GITHUB_REF=refs/heads/main GITHUB_BASE_REF=main",
                "- < main < master; a build on pull_request_target, which may be of a fork's code, writes no cache",
            ),
            (
                "workflow_run",
                "GITHUB_EVENT_NAME=workflow_run GITHUB_REF=refs/heads/trunk",
                "- < trunk < main < master; a build on workflow_run, which may be of a fork's code, writes no cache",
            ),
            (
                "issue_comment",
                "GITHUB_EVENT_NAME=issue_comment GITHUB_REF=refs/heads/main",
                "- < main < master; a build on issue_comment, which may be of a fork's code, writes no cache",
            ),
            (
                "a merge queue",
                "GITHUB_EVENT_NAME=merge_group GITHUB_REF=refs/heads/gh-readonly-queue/release/1/pr-12-0a1b2c",
                "- < release/1 < main < master; a build of a merge queue writes no cache",
            ),
        ],
    );
}

#[test]
fn buildkite() {
    let common = "BUILDKITE=true BUILDKITE_PIPELINE_DEFAULT_BRANCH=main BUILDKITE_REPO=git@github.example:Team/app.git";
    let pull = "BUILDKITE_PULL_REQUEST=12 BUILDKITE_PULL_REQUEST_BASE_BRANCH=develop BUILDKITE_PULL_REQUEST_REPO";
    check(
        "Buildkite",
        common,
        &[
            ("the default branch", "BUILDKITE_BRANCH=main BUILDKITE_PULL_REQUEST=false", "main; writes"),
            ("a branch", "BUILDKITE_BRANCH=feature/x BUILDKITE_PULL_REQUEST=false", "feature/x < main; writes"),
            ("a tag", "BUILDKITE_BRANCH=v1.0 BUILDKITE_TAG=v1.0", TAG),
            (
                "a pull request, its repository by another address",
                &format!("BUILDKITE_BRANCH=feature/x {pull}=git://github.example/team/app.git"),
                "feature/x < develop < main; writes",
            ),
            (
                "a fork",
                &format!("BUILDKITE_BRANCH=main {pull}=git://github.example/stranger/app.git"),
                &format!("- < develop < main; {FORK}"),
            ),
            (
                "a fork by its branch",
                &format!("BUILDKITE_BRANCH=stranger:main {pull}="),
                &format!("- < develop < main; {FORK}"),
            ),
            (
                "a pull request of unknown origin",
                &format!("BUILDKITE_BRANCH=main {pull}="),
                "pull:12 < develop < main; writes",
            ),
            (
                "a fork by its branch alone",
                "BUILDKITE_BRANCH=stranger:main BUILDKITE_PULL_REQUEST=false",
                &format!("- < main; {FORK}"),
            ),
            (
                "triggered by another pipeline, which does not say for what",
                "BUILDKITE_BRANCH=main BUILDKITE_PULL_REQUEST=false BUILDKITE_SOURCE=trigger_job",
                "- < main; no branch is known: another pipeline triggered it, and may have done so for a fork; \
                 name one with --cache-scope",
            ),
            (
                "triggered by another pipeline, which passes the pull request on",
                &format!(
                    "BUILDKITE_BRANCH=feature/x BUILDKITE_SOURCE=trigger_job {pull}=git://github.example/team/app.git"
                ),
                "feature/x < develop < main; writes",
            ),
            (
                "triggered by another pipeline for a fork",
                &format!(
                    "BUILDKITE_BRANCH=main BUILDKITE_SOURCE=trigger_job {pull}=git://github.example/stranger/app.git"
                ),
                &format!("- < develop < main; {FORK}"),
            ),
            (
                "a merge queue",
                "BUILDKITE_BRANCH=gh-readonly-queue/develop/pr-12-0a1b2c BUILDKITE_PULL_REQUEST=false
                 BUILDKITE_MERGE_QUEUE_BASE_BRANCH=develop",
                "- < develop < main; a build of a merge queue writes no cache",
            ),
            (
                "by hand, at a commit",
                "BUILDKITE_BRANCH=HEAD",
                "- < main; no branch is known: the checkout is detached; name one with --cache-scope",
            ),
        ],
    );
}

#[test]
fn circleci() {
    check(
        "CircleCI",
        "CIRCLECI=true CI=true",
        &[
            ("a branch", "CIRCLE_BRANCH=feature/x", "feature/x < main < master; writes"),
            ("main", "CIRCLE_BRANCH=main", "main; writes"),
            ("a tag", "CIRCLE_TAG=v1.0", TAG),
            (
                "a fork",
                "CIRCLE_BRANCH=main CIRCLE_PR_NUMBER=12 CIRCLE_PR_USERNAME=stranger CIRCLE_PR_REPONAME=app",
                &format!("- < main < master; {FORK}"),
            ),
            ("a fork by its branch", "CIRCLE_BRANCH=pull/12", &format!("- < main < master; {FORK}")),
            ("a fork by the API", "CIRCLE_BRANCH=pull/12/head", &format!("- < main < master; {FORK}")),
            ("a fork with its target's owner", "CIRCLE_BRANCH=team/pull/12", &format!("- < main < master; {FORK}")),
        ],
    );
}

#[test]
fn woodpecker() {
    check(
        "Woodpecker",
        "CI=woodpecker CI_REPO_DEFAULT_BRANCH=trunk",
        &[
            (
                "the default branch",
                "CI_PIPELINE_EVENT=push CI_COMMIT_REF=refs/heads/trunk CI_COMMIT_BRANCH=trunk",
                "trunk; writes",
            ),
            ("a branch", "CI_PIPELINE_EVENT=manual CI_COMMIT_BRANCH=feature/x", "feature/x < trunk; writes"),
            ("a tag", "CI_PIPELINE_EVENT=tag CI_COMMIT_REF=refs/tags/v1 CI_COMMIT_TAG=v1 CI_COMMIT_BRANCH=trunk", TAG),
            ("a release", "CI_PIPELINE_EVENT=release CI_COMMIT_BRANCH=trunk", TAG),
            (
                "a pull request, whose branch is said to be its target",
                "CI_PIPELINE_EVENT=pull_request CI_COMMIT_REF=refs/pull/12/head CI_COMMIT_BRANCH=develop
                 CI_COMMIT_TARGET_BRANCH=develop CI_COMMIT_PULL_REQUEST=12",
                "pull:12 < develop < trunk; writes",
            ),
            (
                "a pull request, of an older server",
                "CI_BUILD_EVENT=pull_request CI_COMMIT_BRANCH=trunk CI_COMMIT_PULL_REQUEST=12",
                "pull:12 < trunk; writes",
            ),
        ],
    );
}

#[test]
fn drone() {
    check(
        "Drone",
        "DRONE=true CI=true DRONE_REPO_BRANCH=main",
        &[
            (
                "the default branch",
                "DRONE_BUILD_EVENT=push DRONE_COMMIT_REF=refs/heads/main DRONE_BRANCH=main DRONE_TARGET_BRANCH=main",
                "main; writes",
            ),
            ("a branch", "DRONE_BUILD_EVENT=cron DRONE_BRANCH=feature/x", "feature/x < main; writes"),
            ("a tag", "DRONE_BUILD_EVENT=tag DRONE_COMMIT_REF=refs/tags/v1 DRONE_TAG=v1", TAG),
            (
                "a pull request",
                "DRONE_BUILD_EVENT=pull_request DRONE_COMMIT_REF=refs/pull/12/head DRONE_BRANCH=develop
                 DRONE_TARGET_BRANCH=develop DRONE_PULL_REQUEST=12",
                "pull:12 < develop < main; writes",
            ),
            (
                "a pull request that is promoted, whose branch is said to be main",
                "DRONE_BUILD_EVENT=promote DRONE_COMMIT_REF=refs/pull/12/head DRONE_BRANCH=main DRONE_TARGET_BRANCH=main",
                "pull:12 < main; writes",
            ),
        ],
    );
}
