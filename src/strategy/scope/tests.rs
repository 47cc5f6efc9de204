#![allow(clippy::unwrap_used)]

mod asked;
mod environments;

use super::*;

/// Variables of a CI, as `NAME=VALUE` between blanks.
fn request(variables: &str) -> CacheRequest {
    let variables = variables.split_whitespace().map(|line| {
        let (name, value) = line.split_once('=').unwrap();
        assert!(crate::model::CI_VARIABLES.contains(&name), "no client sends {name}");
        (name.to_owned(), value.to_owned())
    });
    CacheRequest { variables: variables.collect(), ..CacheRequest::default() }
}

/// In one line: `feature/x < develop < main` for the order of reading, with `own` or `-` first, then `; ` and why nothing
/// is read, if so, and whether it is written.
fn told(scopes: &Scopes) -> String {
    let mut line = scopes.own.clone().unwrap_or_else(|| "-".to_owned());
    for scope in &scopes.fallbacks {
        line = format!("{line} < {scope}");
    }
    if let Err(why) = &scopes.reads {
        line = format!("{line}; {why}");
    }
    match &scopes.writes {
        Ok(()) => format!("{line}; writes"),
        Err(why) => format!("{line}; {why}"),
    }
}
