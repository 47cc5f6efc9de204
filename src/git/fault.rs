//! Git's words > our failures.

use super::{Login, Source, source::Transport};
use crate::model::{Failure, FailureKind};

/// What git says, by what to do about it. The words are those of git 2.31 to 2.50, curl and OpenSSH.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &["Permission denied (publickey", "Too many authentication failures", "no SSH key"],
        "lend a key that the host knows, with --ssh default",
    ),
    (&["Host key verification failed"], "correct the host's key in /etc/ssh/ssh_known_hosts of the agent"),
    (
        &["Authentication failed", "could not read Username", "could not read Password", "HTTP Basic: Access denied"],
        "lend a token that may read it, with --secret id=GIT_AUTH_TOKEN,env=VARIABLE",
    ),
    (
        &["error: 401", "error: 403", "returned error: 40"],
        "check its address; of a private one, lend a token with --secret id=GIT_AUTH_TOKEN,env=VARIABLE",
    ),
    (
        &[
            "couldn't find remote ref",
            "does not contain ref",
            "not our ref",
            "unable to read tree",
            "did not match any",
        ],
        "name a branch, a tag, a whole ref such as refs/merge-requests/1/head, or a commit by its whole id",
    ),
    (
        &[
            "does not appear to be a git repository",
            "not found",
            "repository '",
            "Repository not found",
            "not exported",
        ],
        "check its address; of a private one, lend a token with --secret id=GIT_AUTH_TOKEN,env=VARIABLE",
    ),
    (&["it took more than"], "fetch less of it, with ?submodules=0, or check it out and name its directory"),
    (&["transport '"], "submodules are fetched by http, https, ssh and git; ?submodules=0 leaves them out"),
    (&["expected checksum"], "name the commit that the ref stands for now, or leave it out"),
    (
        &[
            "Could not resolve host",
            "unable to connect",
            "Failed to connect",
            "Connection refused",
            "Connection timed out",
            "Couldn't connect",
            "unable to look up",
            "No route to host",
        ],
        "check its host, and that the agent and the engine reach it",
    ),
];

/// What to do about what git said.
pub fn advice(said: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(words, _)| words.iter().any(|word| said.contains(word))).map(|(_, advice)| *advice)
}

/// What failed, in one line.
pub fn cannot_fetch(source: &Source, said: &str) -> String {
    format!("cannot fetch {}: {}", source.name(), line(said))
}

/// A fetch that failed.
pub(super) fn failure(source: &Source, login: &Login, said: &str) -> Failure {
    let failure = Failure::new(FailureKind::Build, cannot_fetch(source, said));
    let refused = "HTTP Basic: Access denied";
    match advice(said) {
        Some(_) if said.contains("could not read Username") && said.contains("submodule path") => failure.next(
            "lend a token that may read the submodules too, with --secret id=GIT_AUTH_TOKEN.HOST,env=VARIABLE: no other \
             is shown for them",
        ),
        Some(_)
            if source.transport == Transport::Http && !matches!(login, Login::Anonymous) && said.contains(refused) =>
        {
            failure.next("the credential was not taken: check that it may read the repository")
        }
        Some(advice) => failure.next(advice),
        None => failure,
    }
}

/// The line that says most: git's last words are often advice for a person at a terminal.
fn line(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = |start: &str| lines().find(|line| line.starts_with(start)).map(|line| line.trim_start_matches(start));
    let found = lines()
        .find(|line| advice(line).is_some())
        .or_else(|| telling("fatal: "))
        .or_else(|| telling("error: "))
        .or_else(|| lines().next_back());
    let found = found.unwrap_or("git failed without a word").trim_start_matches("fatal: ");
    // It would name the URL again.
    let cause = found.strip_prefix("unable to access '").and_then(|rest| rest.split_once("': "));
    cause.map_or(found, |(_, cause)| cause).to_owned()
}
