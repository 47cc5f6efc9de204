//! What the caller says instead, and what it must not.

use super::*;

const GITLAB: &str = "GITLAB_CI=true CI_DEFAULT_BRANCH=main CI_COMMIT_REF_NAME";

fn asked(variables: &str, scope: Option<&str>, fallbacks: &[&str]) -> Scopes {
    let fallbacks = fallbacks.iter().map(|name| (*name).to_owned()).collect();
    scopes(&CacheRequest { scope: scope.map(str::to_owned), fallbacks, ..request(variables) })
}

#[test]
fn without_a_ci_nothing_is_guessed_until_a_scope_is_named() {
    let scopes = asked("", None, &[]);
    let hint = "no branch is known: no variables of a CI are set; name one with --cache-scope";
    assert_eq!(told(&scopes), format!("-; {hint}"));
    assert_eq!((scopes.ci, scopes.notes), (None, Vec::new()));
    assert_eq!(told(&asked("", Some("feature/x"), &[])), "feature/x < main < master; writes");
    assert_eq!(told(&asked("", Some("main"), &[])), "main; writes");
    assert_eq!(told(&asked("", None, &["main"])), format!("- < main; {hint}"));
    // As with Tekton, whose parameters come by flag.
    assert_eq!(told(&asked("", Some("feature/x"), &["develop"])), "feature/x < develop; writes");
}

#[test]
fn named_scopes_replace_what_the_ci_says() {
    let branch = format!("{GITLAB}=feature/x");
    assert_eq!(told(&asked(&branch, Some("team"), &[])), "team < main; writes");
    assert_eq!(told(&asked(&branch, None, &["b", "a", "b", "feature/x"])), "feature/x < b < a; writes");
    assert_eq!(told(&asked("DRONE=true", Some("main"), &[])), "main; writes");
}

#[test]
fn nobody_writes_the_cache_of_a_protected_branch_by_naming_it() {
    let refused = |this: &str| {
        format!("main; the cache of main is written by builds of that branch alone, and this is a build of {this}")
    };
    let main = |variables: &str| told(&asked(variables, Some("main"), &[]));
    assert_eq!(main(&format!("{GITLAB}=main")), "main; writes");
    assert_eq!(main(&format!("{GITLAB}=feature/x")), refused("the branch feature/x"));
    assert_eq!(main(&format!("{GITLAB}=v1 CI_COMMIT_TAG=v1")), refused("the tag v1"));
    let pull = "GITHUB_ACTIONS=true GITHUB_REF=refs/pull/12/merge GITHUB_EVENT_NAME=pull_request GITHUB_BASE_REF=main";
    assert_eq!(main(pull), refused("a merge request"));
    // Where the default branch is not known, both are taken for it.
    assert_eq!(main("JENKINS_URL=x BRANCH_NAME=feature/x"), refused("the branch feature/x"));
    assert!(asked("JENKINS_URL=x BRANCH_NAME=main", Some("master"), &[]).writes.is_err());
    assert!(asked("JENKINS_URL=x BRANCH_NAME=trunk BRANCH_IS_PRIMARY=true", Some("main"), &[]).writes.is_ok());
}

#[test]
fn a_merge_request_does_not_write_what_its_target_reads() {
    let pull = "DRONE=true DRONE_REPO_BRANCH=main DRONE_PULL_REQUEST=12 DRONE_TARGET_BRANCH=release/1";
    assert!(asked(pull, Some("release/1"), &[]).writes.is_err());
    assert!(asked(pull, Some("team"), &[]).writes.is_ok());
}

#[test]
fn a_fork_writes_nothing_whatever_it_asks_for() {
    let fork = "JENKINS_URL=x BRANCH_NAME=PR-1 CHANGE_ID=1 CHANGE_FORK=stranger CHANGE_TARGET=main";
    for scope in ["main", "feature/x", "pull:1"] {
        let scopes = asked(fork, Some(scope), &[]);
        assert_eq!(scopes.own.as_deref(), Some(scope), "it may read");
        assert_eq!(scopes.writes, Err("a build of a fork writes no cache".to_owned()));
    }
}

#[test]
fn a_tag_uses_a_cache_where_one_is_named() {
    let tag = format!("{GITLAB}=v1 CI_COMMIT_TAG=v1");
    assert_eq!(told(&asked(&tag, Some("releases"), &[])), "releases; writes");
    assert_eq!(told(&asked(&tag, None, &["main"])), "- < main; a tag build writes no cache");
}

#[test]
fn a_person_is_told_what_was_guessed() {
    let notes = |variables: &str| asked(variables, None, &[]).notes;
    assert_eq!(
        notes("CIRCLECI=true CIRCLE_BRANCH=x"),
        ["CircleCI does not tell the default branch: main and master are read (--cache-fallback names others)"]
    );
    assert_eq!(notes("CIRCLECI=true CIRCLE_BRANCH=main"), Vec::<String>::new());
    assert_eq!(notes(&format!("{GITLAB}=x")), Vec::<String>::new());
    assert_eq!(notes(&format!("{GITLAB}=")), ["GitLab CI tells no branch: its variables name none"]);
    assert_eq!(asked("CIRCLECI=true CIRCLE_BRANCH=x", None, &["main"]).notes, Vec::<String>::new());
}
