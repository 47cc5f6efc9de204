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

#[cfg(test)]
mod tests;

/// Under which name Docker's own registry stands in the file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Where credentials come from. The file is read once, when the first registry asks.
#[derive(Default)]
pub struct Credentials {
    file: Option<PathBuf>,
    config: OnceLock<Result<Option<Value>, Problem>>,
}

impl Credentials {
    /// From this file. One that does not exist holds no credentials.
    pub fn from_file(file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), config: OnceLock::new() }
    }

    /// From `config.json` in the directory `docker_config` (the variable `DOCKER_CONFIG`), else in `.docker` in `home`.
    pub fn find(docker_config: Option<OsString>, home: Option<OsString>) -> Self {
        let directory = docker_config.filter(|directory| !directory.is_empty()).map(PathBuf::from);
        let directory = directory.or_else(|| home.map(|home| Path::new(&home).join(".docker")));
        Self { file: directory.map(|directory| directory.join("config.json")), config: OnceLock::new() }
    }

    /// What to log in to `host` with; empty where there is nothing. Blocks.
    pub(super) fn get(&self, host: &str) -> Result<CredentialsResponse, Problem> {
        let Some(file) = &self.file else { return Ok(CredentialsResponse::default()) };
        let Some(config) = self.config.get_or_init(|| read(file)).as_ref().map_err(Clone::clone)? else {
            return Ok(CredentialsResponse::default());
        };
        let text = config.to_string();
        match get_credential_from_reader(text.as_bytes(), &key(config, host)) {
            Ok(DockerCredential::UsernamePassword(username, secret)) => Ok(CredentialsResponse { username, secret }),
            // An empty user name is what tells the engine that this is a token.
            Ok(DockerCredential::IdentityToken(secret)) => {
                Ok(CredentialsResponse { username: String::new(), secret })
            }
            Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(CredentialsResponse::default()),
            // What a helper printed may hold anything, so it is not passed on.
            Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
                Err(problem(file, &format!("{helper} has no credentials for {host}")))
            }
            Err(error) => Err(problem(file, &format!("the entry for {host} is broken: {error}"))),
        }
    }
}

/// The file as JSON, without what counts as absent: Docker writes empty strings where there is nothing.
fn read(file: &Path) -> Result<Option<Value>, Problem> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(problem(file, &error.to_string())),
    };
    let mut config: Value = serde_json::from_slice(&text).map_err(|error| problem(file, &error.to_string()))?;
    let Some(entries) = config.as_object_mut() else { return Err(problem(file, "it is not a JSON object")) };
    if let Some(auths) = entries.get_mut("auths") {
        let Some(auths) = auths.as_object_mut() else { return Err(problem(file, "\"auths\" is not an object")) };
        for entry in auths.values_mut().filter_map(Value::as_object_mut) {
            entry.retain(|_, value| value.as_str() != Some(""));
        }
    }
    Ok(Some(config))
}

fn problem(file: &Path, reason: &str) -> Problem {
    Problem::new(
        format!("cannot use the credentials in {}: {reason}", file.display()),
        "Repair the file or log in anew with docker login; DOCKER_CONFIG names another directory.",
    )
}

/// The key of the file's entry for a registry that the engine calls `host`.
fn key(config: &Value, host: &str) -> String {
    let is_hub = matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io");
    let canonical = if is_hub { DOCKER_HUB } else { host };
    let Some(auths) = config.get("auths").and_then(Value::as_object) else { return canonical.to_owned() };
    let exact = [canonical.to_owned(), format!("https://{host}"), format!("https://{host}/v1/")];
    if let Some(found) = exact.iter().find(|key| auths.contains_key(*key)) {
        return found.clone();
    }
    let wanted = if is_hub { "index.docker.io" } else { host };
    auths.keys().find(|key| host_of(key) == wanted).cloned().unwrap_or_else(|| canonical.to_owned())
}

/// The host of a key, which may be a whole URL.
fn host_of(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    match bare.split('/').next().unwrap_or(bare) {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        host => host,
    }
}
