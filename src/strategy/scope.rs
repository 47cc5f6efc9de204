//! Whose cache a build reads and writes: what its CI says of it, and what the caller says instead.
//!
//! A branch reads its own cache, its merge target's and the default branch's, and writes its own. A tag build reads and
//! writes nothing. A fork reads the target's and writes nothing. The caches of the default branch, of a merge target
//! and of branches that the CI calls protected are written by builds of those branches alone, whatever is asked for.

mod ci;

use crate::model::CacheRequest;
use ci::{Build, Context};

/// What stands in for a default branch that the CI does not name.
const GUESSES: [&str; 2] = ["main", "master"];

/// Whose cache a build reads and writes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    /// The CI that the build runs in, for a person.
    pub ci: Option<&'static str>,
    /// The build's own scope, which it reads first; `None` where it has none.
    pub own: Option<String>,
    /// Further scopes that it reads, best first: without its own, each once.
    pub fallbacks: Vec<String>,
    /// Whether it reads cache at all; else why not, as one line for a person.
    pub reads: Result<(), String>,
    /// Whether it may write its own; else why not, as one line for a person.
    pub writes: Result<(), String>,
    /// What a person should know, one line each.
    pub notes: Vec<String>,
}

/// Derives scopes from what the CI and the caller say.
pub fn scopes(request: &CacheRequest) -> Scopes {
    let context = ci::context(&request.variables);
    let own = request.scope.clone().or_else(|| context.as_ref().and_then(own));
    let mut notes = Vec::new();
    if let (None, Some(Context { name, build: Build::Unknown(why), .. })) = (&request.scope, &context) {
        notes.push(format!("{name} tells no branch: {why}"));
    }
    let mut fallbacks = Vec::new();
    let wanted = match request.fallbacks.as_slice() {
        [] => derived(own.as_deref(), context.as_ref(), &mut notes),
        named => named.to_vec(),
    };
    for scope in wanted {
        if own.as_ref() != Some(&scope) && !fallbacks.contains(&scope) {
            fallbacks.push(scope);
        }
    }
    let is_tag = context.as_ref().is_some_and(|context| matches!(context.build, Build::Tag(_)));
    let reads = if is_tag && own.is_none() && fallbacks.is_empty() {
        Err("a tag build reads no cache, unless --cache-fallback names whose".to_owned())
    } else {
        Ok(())
    };
    let writes = writes(own.as_deref(), context.as_ref());
    Scopes { ci: context.map(|context| context.name), own, fallbacks, reads, writes, notes }
}

/// The scope that the CI gives a build.
fn own(context: &Context) -> Option<String> {
    match &context.build {
        Build::Branch(name) | Build::Merge { own: name, .. } => Some(name.clone()),
        Build::Tag(_) | Build::Foreign { .. } | Build::Unknown(_) => None,
    }
}

/// The merge target's, then the default branch's.
fn derived(own: Option<&str>, context: Option<&Context>, notes: &mut Vec<String>) -> Vec<String> {
    let mut found: Vec<String> = match context.map(|context| &context.build) {
        // Neither a CI nor the caller says anything; or nothing is to be read.
        None if own.is_none() => return Vec::new(),
        Some(Build::Tag(_)) => return Vec::new(),
        Some(build) => build.target().map(str::to_owned).into_iter().collect(),
        None => Vec::new(),
    };
    match context.and_then(|context| context.default.clone()) {
        Some(default) => found.push(default),
        // Whose own is one of them is taken for the default branch.
        None if own.is_some_and(|own| GUESSES.contains(&own)) => {}
        None => {
            let who = context.map_or("no CI tells".to_owned(), |context| format!("{} does not tell", context.name));
            notes.push(format!("{who} the default branch: main and master are read (--cache-fallback names others)"));
            found.extend(GUESSES.map(str::to_owned));
        }
    }
    found
}

fn writes(own: Option<&str>, context: Option<&Context>) -> Result<(), String> {
    const HINT: &str = "name one with --cache-scope";
    let Some(context) = context else {
        return own.map(drop).ok_or_else(|| format!("no branch is known: no variables of a CI are set; {HINT}"));
    };
    let this = match &context.build {
        Build::Foreign { what, .. } => return Err(format!("{what} writes no cache")),
        Build::Tag(_) if own.is_none() => return Err("a tag build writes no cache".to_owned()),
        Build::Unknown(why) if own.is_none() => return Err(format!("no branch is known: {why}; {HINT}")),
        // The caller's word is the only one.
        Build::Unknown(_) => return Ok(()),
        Build::Branch(name) if own == Some(name) => return Ok(()),
        Build::Branch(name) => format!("a build of the branch {name}"),
        Build::Tag(name) => format!("a build of the tag {name}"),
        Build::Merge { .. } => "a build of a merge request".to_owned(),
    };
    match own.filter(|own| is_protected(own, context)) {
        Some(own) => Err(format!("the cache of {own} is written by builds of that branch alone, and this is {this}")),
        None => Ok(()),
    }
}

fn is_protected(scope: &str, context: &Context) -> bool {
    let default = match &context.default {
        Some(default) => default == scope,
        None => GUESSES.contains(&scope),
    };
    // What is merged there reads it: a merge request must not choose what that is.
    default || context.protected.as_deref() == Some(scope) || context.build.target() == Some(scope)
}

#[cfg(test)]
mod tests;
