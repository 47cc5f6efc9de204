//! `moby.filesync.v1.Auth`: hands the engine the credentials of Docker's config file, for the registries that it asks
//! about. Tokens the engine fetches itself: every other method is unimplemented.
//!
//! Nothing in here may be printed: no type that holds a secret is `Debug`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bollard_buildkit_proto::moby::filesync::v1::CredentialsResponse;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use serde_json::Value;

use super::problems::Problem;
use crate::model::{auths_key, auths_name, registry_host};

#[cfg(test)]
mod tests;

/// Where credentials come from. Each place is read once, when the first registry asks.
#[derive(Default)]
pub struct Credentials {
    file: Option<PathBuf>,
    config: OnceLock<Result<Option<Value>, Problem>>,
    /// The text of such a file.
    text: Option<String>,
    text_config: OnceLock<Result<Value, Problem>>,
    /// The CI's own registry.
    ci: Option<Login>,
    /// The CI's own git server, as `https://HOST[:PORT]`.
    git: Option<Login>,
}

/// Begins what the agent asks for a git server by: no engine asks so, and no step can.
const GIT: &str = "git+";

struct Login {
    registry: String,
    username: String,
    password: String,
}

impl Credentials {
    /// From this file. One that does not exist holds no credentials.
    pub fn from_file(file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..Self::default() }
    }

    /// From `config.json` in the directory `docker_config` (the variable `DOCKER_CONFIG`), else in `.docker` in `home`.
    pub fn find(docker_config: Option<OsString>, home: Option<OsString>) -> Self {
        let directory = docker_config.filter(|directory| !directory.is_empty()).map(PathBuf::from);
        let directory = directory.or_else(|| home.map(|home| Path::new(&home).join(".docker")));
        Self { file: directory.map(|directory| directory.join("config.json")), ..Self::default() }
    }

    /// And from variables of the environment: `DOCKER_AUTH_CONFIG`, the text of such a file, before it, as Docker's client
    /// has it; the job's own login of GitLab, `CI_REGISTRY` with `CI_REGISTRY_USER` and `CI_REGISTRY_PASSWORD`, after it.
    /// `CI_JOB_TOKEN` is for the git server at `CI_SERVER_URL` alone, by https.
    #[must_use]
    pub fn with_variables(self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let login = || {
            let (username, password) = (set("CI_REGISTRY_USER")?, set("CI_REGISTRY_PASSWORD")?);
            Some(Login { registry: set("CI_REGISTRY")?, username, password })
        };
        let git = || {
            let (url, password) = (set("CI_SERVER_URL")?, set("CI_JOB_TOKEN")?);
            let host = registry_host(url.strip_prefix("https://")?);
            let registry = format!("https://{}", host.strip_suffix(":443").unwrap_or(host));
            Some(Login { registry, username: "gitlab-ci-token".to_owned(), password })
        };
        Self { text: set("DOCKER_AUTH_CONFIG"), ci: login(), git: git(), ..self }
    }

    /// What to log in to `host` with; empty where there is nothing. Blocks.
    pub(super) fn get(&self, host: &str) -> Result<CredentialsResponse, Problem> {
        if let Some(server) = host.strip_prefix(GIT) {
            return Ok(answer(self.git.as_ref().filter(|login| login.registry == server)));
        }
        if let Some(text) = &self.text {
            let config = self.text_config.get_or_init(|| parse(text.as_bytes(), VARIABLE));
            if let Some(found) = look_up(config.as_ref().map_err(Clone::clone)?, host, VARIABLE)? {
                return Ok(found);
            }
        }
        if let Some(file) = &self.file
            && let Some(config) = self.config.get_or_init(|| read(file)).as_ref().map_err(Clone::clone)?
            && let Some(found) = look_up(config, host, &file.display().to_string())?
        {
            return Ok(found);
        }
        let login = self.ci.as_ref().filter(|login| registry_host(&login.registry) == host);
        Ok(answer(login))
    }
}

fn answer(login: Option<&Login>) -> CredentialsResponse {
    login.map_or_else(CredentialsResponse::default, |login| CredentialsResponse {
        username: login.username.clone(),
        secret: login.password.clone(),
    })
}

/// What a helper prints where it has nothing for a registry.
const NOT_THERE: &str = "credentials not found in native keychain";

/// How messages call the text of the environment.
const VARIABLE: &str = "the variable DOCKER_AUTH_CONFIG";

/// What a configuration has for `host`, if anything.
fn look_up(config: &Value, host: &str, place: &str) -> Result<Option<CredentialsResponse>, Problem> {
    let text = config.to_string();
    match get_credential_from_reader(text.as_bytes(), key(config, host)) {
        Ok(DockerCredential::UsernamePassword(username, secret)) => Ok(Some(CredentialsResponse { username, secret })),
        // An empty user name is what tells the engine that this is a token.
        Ok(DockerCredential::IdentityToken(secret)) => {
            Ok(Some(CredentialsResponse { username: String::new(), secret }))
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // With these words helpers say that there is none, and Docker's own client goes on without.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.trim() == NOT_THERE => Ok(None),
        // What a helper printed may hold anything, so it is not passed on.
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            Err(problem(place, &format!("{helper} has no credentials for {host}")))
        }
        Err(error) => Err(problem(place, &format!("the entry for {host} is broken: {error}"))),
    }
}

/// The file as JSON, without what counts as absent: Docker writes empty strings where there is nothing.
fn read(file: &Path) -> Result<Option<Value>, Problem> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(problem(&file.display().to_string(), &error.to_string())),
    };
    parse(&text, &file.display().to_string()).map(Some)
}

fn parse(text: &[u8], place: &str) -> Result<Value, Problem> {
    let mut config: Value = serde_json::from_slice(text).map_err(|error| problem(place, &error.to_string()))?;
    let Some(entries) = config.as_object_mut() else { return Err(problem(place, "it is not a JSON object")) };
    if let Some(auths) = entries.get_mut("auths") {
        let Some(auths) = auths.as_object_mut() else { return Err(problem(place, "\"auths\" is not an object")) };
        for entry in auths.values_mut().filter_map(Value::as_object_mut) {
            entry.retain(|_, value| value.as_str() != Some(""));
        }
    }
    Ok(config)
}

fn problem(place: &str, reason: &str) -> Problem {
    Problem::new(
        format!("cannot use the credentials in {place}: {reason}"),
        "Repair it or log in anew with docker login; DOCKER_CONFIG names another directory.",
    )
}

/// The key of the file's entry for a registry that the engine calls `host`.
fn key<'a>(config: &'a Value, host: &'a str) -> &'a str {
    let auths = config.get("auths").and_then(Value::as_object);
    let found = auths.and_then(|auths| auths_key(auths.keys().map(String::as_str), host));
    found.unwrap_or_else(|| auths_name(host))
}
