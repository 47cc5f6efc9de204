//! Build contexts that lie in git repositories: who fetches them.
//!
//! The engine does where it has git. The agent does where the engine has none, and where a credential is meant for git
//! alone: steps can ask for what the engine is lent, and its log has its URLs. `BuildKit` takes a URL as git where it ends
//! in `.git`; another one may be a repository too, which its host tells.

use std::{
    collections::BTreeMap,
    sync::LazyLock,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::prepare::Begun;
use crate::{
    digest::sha256,
    engine::MAIN_INPUT,
    git::{self, Checkout, Login, Named, Scope, Source},
    model::{BuildRequest, Event, Failure, FailureKind},
    session::{Directory, Lent, methods},
};

/// The build arg that keeps `.git` in a git context.
const KEEP_GIT: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// How the names of repositories begin that the frontend knows as further contexts.
const KNOWN: &[&str] = &["git@", "git://", "http://", "https://"];

/// Makes keys of what is fetched that nobody can guess.
static SALT: LazyLock<String> = LazyLock::new(|| uuid::Uuid::new_v4().to_string());

impl Begun {
    /// Fetches what the engine is not to fetch, and lends it to the engine in place of what the request names. It is there
    /// as long as this value.
    pub(super) async fn fetch(
        &mut self,
        mut request: BuildRequest,
        events: &mpsc::Sender<Event>,
    ) -> Result<BuildRequest, Failure> {
        let lent = self.lent.clone();
        let keep = request.build_args.get(KEEP_GIT).is_some_and(|value| matches!(value.as_str(), "1" | "true"));
        let mut fetched = BTreeMap::new();
        let main = request.remote.take().map(|place| (None, place));
        let named = std::mem::take(&mut request.contexts).into_iter().map(|(name, place)| (Some(name), place));
        for (name, place) in main.into_iter().chain(named) {
            let place = match self.look_up(&place, name.is_some()).await? {
                None => place,
                Some(Fetcher::Engine(url)) => url,
                Some(Fetcher::Agent(source, login)) => {
                    let source = source.keeping_git(keep && name.is_none());
                    let checkout = tokio::select! {
                        checkout = checkout(&source, &login, &lent, events) => checkout?,
                        () = lent.ended() => return Err(super::prepare::gone()),
                    };
                    // A named one must be no input that the frontend takes for something else.
                    let input = name.as_ref().map_or(MAIN_INPUT.to_owned(), |name| format!("context-{name}"));
                    fetched.insert(input.clone(), (checkout, source.name()));
                    if name.is_none() {
                        continue;
                    }
                    format!("input:{input}")
                }
            };
            match name {
                None => request.remote = Some(place),
                Some(name) => drop(request.contexts.insert(name, place)),
            }
        }
        if !fetched.is_empty() {
            let directory = |(input, (checkout, _)): (&String, &(Checkout, String))| {
                (input.clone(), Directory::whole(checkout.directory().to_owned()))
            };
            // Files that came anew have other times, so that the engine asks for each of them again.
            let places: Vec<_> = fetched.values().map(|(_, place)| place.as_str()).collect();
            let key = sha256(format!("{} {} {}", *SALT, lent.offer().shared_key, places.join(" ")).as_bytes());
            self.lent = lent.with_checkouts(fetched.iter().map(directory).collect(), key);
            self.checkouts = fetched.into_values().map(|(checkout, _)| checkout).collect();
        }
        Ok(request)
    }

    /// Who is to fetch what lies there, be it the main context or one with a name. `None` where it is no repository.
    async fn look_up(&self, place: &str, named: bool) -> Result<Option<Fetcher>, Failure> {
        // What comes on the client's standard input has a URL too.
        if place.starts_with(methods::UPLOADS) {
            return Ok(None);
        }
        let usage = |why| Failure::new(FailureKind::Usage, why).next("name it as URL#REF:DIRECTORY");
        let (source, given) = match Source::read(place).map_err(usage)? {
            Named::Git(source) => (source, true),
            Named::Perhaps(source) => (source, false),
            Named::Other => return Ok(None),
        };
        let (login, for_agent) = login(&source, given, &self.lent).await?;
        if !given && !git::is_repository(&source, &login).await {
            return Ok(None);
        }
        let knows = |place: &str| !named || KNOWN.iter().any(|start| place.starts_with(start));
        let told = Some(place).filter(|place| given && !source.was_renamed(place) && knows(place));
        let told = told.map_or_else(|| source.name(), str::to_owned);
        let by_engine = self.capabilities.git && knows(&told);
        if by_engine && !for_agent && source.suits(place, !self.capabilities.git_head) {
            return Ok(Some(Fetcher::Engine(told)));
        }
        if git::is_there().await {
            return Ok(Some(Fetcher::Agent(Box::new(source), login)));
        }
        if by_engine && source.login().is_some() {
            let what = format!(
                "{}: its URL holds a password, which the engine would show, and the agent has no git",
                source.name()
            );
            return Err(Failure::new(FailureKind::Build, what)
                .next("install git 2.31 or later where the agent runs; or lend a token with --secret id=GIT_AUTH_TOKEN,env=VARIABLE, and leave it out of the URL"));
        }
        if by_engine {
            return Ok(Some(Fetcher::Engine(told)));
        }
        let what = format!("{}: neither the engine nor the agent has git to fetch it with", source.name());
        Err(Failure::new(FailureKind::Build, what)
            .next("install git 2.31 or later where the agent runs, and an SSH client for SSH; or check it out and name its directory"))
    }
}

enum Fetcher {
    /// The engine, by this name.
    Engine(String),
    Agent(Box<Source>, Login),
}

async fn checkout(
    source: &Source,
    login: &Login,
    lent: &Lent,
    events: &mpsc::Sender<Event>,
) -> Result<Checkout, Failure> {
    let since = Instant::now();
    let notice = async |text| drop(events.send(Event::Notice { warning: false, text }).await);
    notice(format!("git: the agent fetches {}", source.name())).await;
    let checkout = git::fetch(source, login, lent).await?;
    let took = Duration::from_millis(since.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
    notice(format!("git: commit {} in {}", checkout.commit, humantime::format_duration(took))).await;
    Ok(checkout)
}

/// What the client lends for a repository, and whether that is for the agent alone: what its URL says, else the secrets
/// that `BuildKit` knows, in its order, else the job's own token for the CI's own server. One for any host is for those
/// alone whose URL says that it is git: other hosts have no business with it.
async fn login(source: &Source, given: bool, lent: &Lent) -> Result<(Login, bool), Failure> {
    if let Some(login) = source.login() {
        return Ok((login, true));
    }
    if source.host().is_empty() {
        return Ok((Login::Anonymous, false));
    }
    let of_host = (format!(".{}", source.host()), Scope::Host);
    let of_any = (String::new(), Scope::Repository);
    for (of_host, scope) in [Some(of_host), Some(of_any).filter(|_| given)].into_iter().flatten() {
        if let Some(value) = lent.secret(&format!("GIT_AUTH_HEADER{of_host}")).await? {
            return Ok((Login::header(&value), false));
        }
        if let Some(token) = lent.secret(&format!("GIT_AUTH_TOKEN{of_host}")).await? {
            return Ok((Login::token(&token, scope), false));
        }
    }
    let Some(origin) = source.https() else { return Ok((Login::Anonymous, false)) };
    let login = Login::lent(lent.git_credential(origin).await?);
    let for_agent = !matches!(login, Login::Anonymous);
    Ok((login, for_agent))
}

/// A failure with what is known of remote contexts.
pub(super) fn explained(failure: Failure, remote: Option<&str>) -> Failure {
    let Some(remote) = remote.filter(|_| failure.kind == FailureKind::Build) else { return failure };
    let Ok(Named::Git(source)) = Source::read(remote) else { return failure };
    // Steps say much of which some sounds like git. Docker 20.10 tells in the step's log alone what git said.
    let no_key = failure.what.contains("no SSH key");
    let fetching = (failure.next.is_empty() || no_key)
        && failure.step.is_empty()
        && failure.excerpt.is_none()
        && (failure.what.contains("failed to load cache key") || failure.what.contains("git"));
    let mut lines = failure.log.iter().map(String::as_str).chain(failure.what.lines());
    let said = lines.find_map(|line| Some((line, git::advice(line)?)));
    let Some((line, advice)) = said.filter(|_| fetching) else { return failure };
    let line = line.rsplit_once("failed to load cache key: ").map_or(line, |(_, line)| line);
    let what = git::cannot_fetch(&source, line.trim_end_matches(", output: \"\""));
    Failure { what, log: Vec::new(), ..failure }.next(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engines_git_said_is_told_once_and_in_one_line() {
        const URL: &str = "http://h.example/r.git";
        let told = |said: &str, log: &[&str], next: &str| {
            let what = format!("failed to read dockerfile: failed to load cache key: {said}");
            let log = log.iter().map(|line| (*line).to_owned()).collect();
            let failure = Failure { log, ..Failure::new(FailureKind::Build, what).next(next) };
            let Failure { what, log, next, .. } = explained(failure, Some(URL));
            (what, log.len(), next.split(',').next().unwrap_or_default().to_owned())
        };
        let fatal = format!("fatal: unable to access '{URL}/': Could not resolve host: h.example");
        let failed = format!("failed to fetch remote {URL}");
        let unknown =
            (format!("cannot fetch {URL}: Could not resolve host: h.example"), 0, "check its host".to_owned());
        let docker_28 = format!("{failed}: git stderr:\n{fatal}\n: exit status 128");
        assert_eq!(told(&docker_28, &[&fatal], ""), unknown);
        assert_eq!(told(&docker_28, &[], ""), unknown);
        let docker_20 = format!("{failed}: exit status 128");
        assert_eq!(told(&docker_20, &["Initialized empty Git repository in /x/", &fatal], ""), unknown);
        let (what, ..) = told("repository does not contain ref v1, output: \"\"", &[], "");
        assert_eq!(what, format!("cannot fetch {URL}: repository does not contain ref v1"));
        let (what, _, next) = told("no SSH key \"default\" forwarded from the client", &[], "lend it to the step");
        assert_eq!(what, format!("cannot fetch {URL}: no SSH key \"default\" forwarded from the client"));
        assert_eq!(next, "lend a key that the host knows");
    }
}
