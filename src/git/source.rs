//! A git context as people name it. Pure.
//!
//! The forms are `BuildKit`'s: `URL#REF:DIRECTORY`, or its queries (<https://docs.docker.com/build/concepts/context/>).
//! Whatever comes out of here is safe as an argument of git: nothing begins with a dash, and of git's transports only
//! http, https, ssh and git can be named.

use reqwest::Url;

use super::{Login, Scope};

/// Bytes that a name of a git context may have.
const LONGEST: usize = 4096;
/// What git takes in no name of a ref, and what means something else in a refspec.
const NOT_IN_REFS: &[char] = &[' ', '~', '^', ':', '?', '*', '[', '\\', '+'];

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// `https://`, and `http://`.
    Http,
    /// `ssh://`, and `git@HOST:PATH`.
    Ssh,
    /// `git://`.
    Git,
}

/// A repository, and what of it is wanted. It is not `Debug`: it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is, without a password.
    pub(super) url: String,
    /// Scheme, host and port of that, where it is reached by HTTP: what credentials are for.
    pub(super) origin: String,
    pub(super) transport: Transport,
    /// User and password that stood in the URL.
    pub(super) login: Option<(String, String)>,
    /// Branch, tag, commit, or a whole ref such as `refs/pull/1/head`. The server's HEAD where it is `None`.
    pub(super) reference: Option<String>,
    /// What the commit's id must begin with.
    pub(super) commit: Option<String>,
    /// Directory in it, without slashes at its ends; empty for its root.
    pub(super) directory: String,
    pub(super) keep_git: bool,
    pub(super) submodules: bool,
}

/// What a text names.
pub enum Named {
    /// A git repository.
    Git(Source),
    /// A URL that does not say what is there: an archive, or a repository named without `.git`.
    Perhaps(Source),
    /// Nothing of git.
    Other,
}

impl Source {
    /// Reads the name of a build context. The error is one line, and shows no password.
    pub fn read(text: &str) -> Result<Named, String> {
        if text.len() > LONGEST || text.contains(char::is_control) {
            return Err("a git context's name is too long, or has control characters".to_owned());
        }
        let (place, fragment) = text.split_once('#').map_or((text, None), |(place, rest)| (place, Some(rest)));
        let hub = place.starts_with("github.com/").then(|| format!("https://{place}"));
        let place = hub.as_deref().unwrap_or(place);
        if let Some(at) = place.find("://") {
            if !["http", "https", "ssh", "git"].contains(&place[..at].to_ascii_lowercase().as_str()) {
                return Ok(Named::Other);
            }
            let url = Url::parse(place).map_err(|error| format!("the build context is no URL: {error}"))?;
            return of_url(url, hub.is_some(), fragment);
        }
        match scp(place)? {
            Some(source) => Ok(Named::Git(source.at(fragment)?)),
            None => Ok(Named::Other),
        }
    }

    /// Whether `BuildKit` would not take this text, which names it, as git.
    pub fn was_renamed(&self, text: &str) -> bool {
        let place = text.split(['?', '#']).next().unwrap_or(text);
        self.transport == Transport::Http && place.strip_suffix(".git").is_none() && !place.starts_with("github.com/")
    }

    /// What its name says to log in with.
    pub fn login(&self) -> Option<Login> {
        let (user, password) = self.login.clone()?;
        Some(Login::Password { user, password, scope: Scope::Repository })
    }

    /// Host, with the port where one is named, as `BuildKit` puts it behind the names of secrets. Empty where it is not
    /// reached by HTTP.
    pub fn host(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, host)| host)
    }

    /// Whether every engine that has git makes the same of this text, which names it: no query, which newer ones alone
    /// read. For one before Docker 23.0 `old` is true: it takes `master` for the branch of every HEAD, and no `ssh://`.
    pub fn suits(&self, text: &str, old: bool) -> bool {
        let same_when_old = self.reference.is_some() && !self.url.starts_with("ssh://");
        !text.split('#').next().unwrap_or_default().contains('?') && (same_when_old || !old)
    }

    /// Scheme, host and port, where it is reached by https.
    pub fn https(&self) -> Option<&str> {
        Some(self.origin.as_str()).filter(|origin| origin.starts_with("https://"))
    }

    /// The same with its `.git` kept.
    #[must_use]
    pub fn keeping_git(self, keep: bool) -> Self {
        Self { keep_git: self.keep_git || keep, ..self }
    }

    /// As `BuildKit` takes it, without a password.
    pub fn name(&self) -> String {
        let Self { url, reference, directory, .. } = self;
        let reference = reference.as_deref().unwrap_or_default();
        match (reference.is_empty(), directory.is_empty()) {
            (true, true) => url.clone(),
            (_, true) => format!("{url}#{reference}"),
            (_, false) => format!("{url}#{reference}:{directory}"),
        }
    }

    fn new(url: String, transport: Transport) -> Self {
        Self {
            url,
            origin: String::new(),
            transport,
            login: None,
            reference: None,
            commit: None,
            directory: String::new(),
            keep_git: false,
            submodules: true,
        }
    }

    /// With `REF:DIRECTORY`.
    fn at(mut self, fragment: Option<&str>) -> Result<Self, String> {
        let (reference, directory) =
            fragment.unwrap_or_default().split_once(':').unwrap_or((fragment.unwrap_or_default(), ""));
        self.refer(reference)?;
        if !directory.is_empty() {
            self.directory = clean(directory);
        }
        Ok(self)
    }

    fn refer(&mut self, reference: &str) -> Result<(), String> {
        if reference.is_empty() {
            return Ok(());
        }
        if reference.starts_with('-') || reference.contains(NOT_IN_REFS) || reference.contains("..") {
            return Err(format!("'{reference}' is no name of a git ref"));
        }
        if self.reference.replace(reference.to_owned()).is_some_and(|other| other != reference) {
            return Err("a git context names two refs".to_owned());
        }
        Ok(())
    }

    fn query(&mut self, url: &Url) -> Result<(), String> {
        let flag = |key: &str, value: &str| match value {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(format!("a git context: {key} is 1 or 0, not '{value}'")),
        };
        let below = |prefix: &str, name: &str| {
            if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
        };
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "ref" => self.refer(&value)?,
                "branch" => self.refer(&below("refs/heads/", &value))?,
                "tag" => self.refer(&below("refs/tags/", &value))?,
                "subdir" => self.directory = clean(&value),
                "checksum" | "commit" => {
                    if value.len() < 4 || !value.bytes().all(|b| b.is_ascii_hexdigit()) {
                        return Err("a git context: a commit's id is hexadecimal".to_owned());
                    }
                    self.commit = Some(value.to_ascii_lowercase());
                }
                "keep-git-dir" => self.keep_git = flag(&key, &value)?,
                "submodules" => self.submodules = flag(&key, &value)?,
                // Times of files are no part of what a build sees.
                "mtime" => {}
                _ => return Err(format!("a git context: there is no query '{key}'")),
            }
        }
        Ok(())
    }
}

fn of_url(mut url: Url, is_git: bool, fragment: Option<&str>) -> Result<Named, String> {
    let transport = match url.scheme() {
        "ssh" => Transport::Ssh,
        "git" => Transport::Git,
        _ => Transport::Http,
    };
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() || host.starts_with('-') || url.path().starts_with("/-") && transport != Transport::Http {
        return Err("a git context's URL names no host, or no repository".to_owned());
    }
    if url.username().starts_with('-') {
        return Err("a git context's URL has a user that is none".to_owned());
    }
    let named = is_git || transport != Transport::Http || url.path().strip_suffix(".git").is_some();
    let asked = url.clone();
    url.set_query(None);
    let password = url.password().map(str::to_owned);
    let mut source = Source::new(String::new(), transport);
    if transport == Transport::Http {
        if !url.username().is_empty() || password.is_some() {
            source.login = Some((plain(url.username()), plain(password.as_deref().unwrap_or_default())));
        }
        // Neither can fail where there is a host.
        let _ = url.set_username("");
        source.origin = url.origin().ascii_serialization();
    }
    let _ = url.set_password(None);
    if !named {
        // A page has a query of its own, and an archive no ref.
        let path = format!("{}.git", url.path().trim_end_matches('/'));
        url.set_path(&path);
        source.url = url.into();
        let source = source.at(fragment)?;
        return Ok(match fragment {
            Some(_) => Named::Git(source),
            None if asked.query().is_some() || is_file(asked.path()) => Named::Other,
            None => Named::Perhaps(source),
        });
    }
    source.url = url.into();
    let mut source = source.at(fragment)?;
    source.query(&asked)?;
    Ok(Named::Git(source))
}

/// Whether a URL's path ends as that of a file does, which no repository is named like.
fn is_file(path: &str) -> bool {
    const ENDS: &[&str] = &[".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".zip", ".txt", ".dockerfile"];
    let path = path.to_ascii_lowercase();
    path == "/" || path.ends_with("/dockerfile") || ENDS.iter().any(|end| path.ends_with(end))
}

/// `USER@HOST:PATH`, as ssh has it.
fn scp(text: &str) -> Result<Option<Source>, String> {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let Some((user, rest)) = text.split_once('@') else { return Ok(None) };
    let Some((host, path)) = rest.split_once(':') else { return Ok(None) };
    if user.is_empty() || host.is_empty() || !user.chars().all(word) || !host.chars().all(word) {
        return Ok(None);
    }
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    if user.starts_with('-') || host.starts_with('-') || path.starts_with('-') || path.is_empty() {
        return Err("a git context names no host, or no repository".to_owned());
    }
    let mut source = Source::new(format!("{user}@{host}:{path}"), Transport::Ssh);
    if let Some(query) = query {
        let url = Url::parse(&format!("ssh://host/?{query}")).map_err(|error| error.to_string())?;
        source.query(&url)?;
    }
    Ok(Some(source))
}

/// A path without `.` and `..`, which leads nowhere above its root.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Without the escapes of a URL.
fn plain(text: &str) -> String {
    let escaped = text.replace('+', "%2B");
    let query = format!("http://host/?v={escaped}");
    let url = Url::parse(&query).ok();
    url.and_then(|url| url.query_pairs().next().map(|(_, value)| value.into_owned())).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests;
