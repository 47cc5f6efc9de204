//! Jenkins. Multibranch projects have the variables of the Branch API plugin (as `/env-vars.html` of every Jenkins
//! lists them), others at most `GIT_BRANCH` of the git plugin.

use super::{Build, Context, Variables};

pub(super) fn context(v: Variables<'_>) -> Context {
    // Tells no more than whether this is it.
    let primary = v.get("BRANCH_NAME").filter(|_| v.says("BRANCH_IS_PRIMARY", "true"));
    Context { name: "Jenkins", build: build(v), default: primary.map(str::to_owned), protected: None }
}

fn build(v: Variables<'_>) -> Build {
    let target = v.get("CHANGE_TARGET");
    if let Some(tag) = v.get("TAG_NAME") {
        return Build::Tag(tag.to_owned());
    }
    if v.get("CHANGE_FORK").is_some() {
        return Build::fork(target);
    }
    if let Some(id) = v.get("CHANGE_ID") {
        // BRANCH_NAME is something like PR-24 here. What sets CHANGE_BRANCH sets CHANGE_FORK as well.
        return match v.get("CHANGE_BRANCH") {
            Some(source) => Build::merge(source, target),
            None => Build::numbered(Some(id), target),
        };
    }
    if let Some(branch) = v.get("BRANCH_NAME") {
        return Build::branch(Some(branch));
    }
    let Some(name) = v.get("GIT_BRANCH") else { return Build::branch(None) };
    let behind = |prefixes: &[&str]| prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    if let Some(tag) = behind(&["refs/tags/", "tags/"]) {
        return Build::Tag(tag.to_owned());
    }
    let branch = behind(&["refs/heads/", "refs/remotes/origin/", "remotes/origin/", "origin/"]);
    Build::branch(Some(branch.unwrap_or(name)))
}
