//! The agent's configuration: flags before environment before file before defaults, and all mistakes at once.
//!
//! Pure: the caller reads the file and hands over the flags and a way to look up variables.

mod access;
mod reading;

use std::{fmt, time::Duration};

use toml::de::DeTable;

pub use access::{Access, AccessFile, AccessFlags, TlsFiles};
use reading::{FileReader, Sources, line_of};

use crate::model::{EngineUrl, InvalidAddress, ListenUrl};

/// Where the engine is where nobody says so.
const DEFAULT_ENGINE: &str = "unix:///var/run/docker.sock";
/// Where the agent listens where nobody says so.
pub(crate) const DEFAULT_LISTEN: &str = "unix:///run/remora/agent.sock";
/// Every key of the file.
const KEYS: [&str; 8] =
    ["engine", "listen", "allow_entitlement", "insecure_registry", "cache_deadline", "name", "max_builds", "max_queue"];
/// How many builds wait where nobody says so.
const DEFAULT_MAX_QUEUE: usize = 32;
/// How long a build waits for registries to say which cache refs exist, where nobody says so.
const DEFAULT_CACHE_DEADLINE: Duration = Duration::from_secs(2);

/// What the agent runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The engine beside it.
    pub engine: EngineUrl,
    /// Where it listens; never empty.
    pub listen: Vec<ListenUrl>,
    /// Who may connect there, and how.
    pub access: Access,
    /// What a build may ask for beyond an ordinary build; nothing by default.
    pub allow_entitlement: Vec<Entitlement>,
    /// Registries, as `host` or `host:port`, that speak plain http. Loopback does by itself.
    pub insecure_registry: Vec<String>,
    /// How much longer a build may take for registries that do not say which cache refs exist.
    pub cache_deadline: Duration,
    /// What it is called among others; `None` is the host's name.
    pub name: Option<String>,
    /// Builds at once; 0 is without limit.
    pub max_builds: usize,
    /// Builds that wait.
    pub max_queue: usize,
}

/// Something that a build may do only where the agent allows it. The words are BuildKit's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entitlement {
    /// `network.host`: steps see the network of the engine's host.
    NetworkHost,
    /// `security.insecure`: steps with `--security=insecure` have all capabilities. The engine must allow it as well.
    SecurityInsecure,
}

/// What the file says. Every value is valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileConfig {
    /// Key `engine`. A text, for only the environment knows whether TLS is wanted.
    pub engine: Option<String>,
    /// Key `listen`, a text or a list.
    pub listen: Option<Vec<ListenUrl>>,
    /// Keys `tls_cert`, `tls_key`, `tls_client_ca`, `kubernetes_auth`, `kubernetes_audience` and `pull_secret`.
    pub access: AccessFile,
    /// Key `allow_entitlement`.
    pub allow_entitlement: Option<Vec<Entitlement>>,
    /// Key `insecure_registry`.
    pub insecure_registry: Option<Vec<String>>,
    /// Key `cache_deadline`.
    pub cache_deadline: Option<Duration>,
    /// Key `name`.
    pub name: Option<String>,
    /// Key `max_builds`.
    pub max_builds: Option<usize>,
    /// Key `max_queue`.
    pub max_queue: Option<usize>,
}

/// What the command line says, as it was written. A list that is empty says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--engine`
    pub engine: Option<String>,
    /// `--listen`, repeatable
    pub listen: Vec<String>,
    /// Who may connect there, and how
    pub access: AccessFlags,
    /// `--allow-entitlement`, repeatable
    pub allow_entitlement: Vec<String>,
    /// `--insecure-registry`, repeatable
    pub insecure_registry: Vec<String>,
    /// `--cache-deadline`
    pub cache_deadline: Option<String>,
    /// `--name`
    pub name: Option<String>,
    /// `--max-builds`
    pub max_builds: Option<String>,
    /// `--max-queue`
    pub max_queue: Option<String>,
}

/// Something that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistake {
    /// Line of the file, from 1; `None` for a flag or a variable.
    pub line: Option<usize>,
    /// The key, flag or variable; empty where the file is no TOML.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

impl Entitlement {
    /// BuildKit's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NetworkHost => "network.host",
            Self::SecurityInsecure => "security.insecure",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "network.host" => Ok(Self::NetworkHost),
            "security.insecure" => Ok(Self::SecurityInsecure),
            _ => Err(format!("unknown entitlement '{text}': there are network.host and security.insecure")),
        }
    }
}

impl Config {
    /// Reads a file's text. All that is wrong comes at once, in the order of the lines.
    pub fn from_file_text(text: &str) -> Result<FileConfig, Vec<Mistake>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let mistake = |e: &toml::de::Error| Mistake {
                line: e.span().map(|span| line_of(text, &span)),
                key: String::new(),
                problem: e.message().to_owned(),
            };
            return Err(errors.iter().map(mistake).collect());
        }
        let mut file = FileReader { text, mistakes: Vec::new() };
        let mut config = FileConfig::default();
        for (key, value) in table.get_ref() {
            match key.get_ref().as_ref() {
                "engine" => {
                    config.engine = file.string(key.get_ref(), value, |text| {
                        EngineUrl::parse(text, None).map(|_| text.to_owned()).map_err(|e| e.to_string())
                    });
                }
                "listen" => {
                    let parse = |text: &str| ListenUrl::parse(text).map_err(|e| e.to_string());
                    config.listen = file.one_or_more(key.get_ref(), value, parse);
                }
                "allow_entitlement" => {
                    config.allow_entitlement = file.list(key.get_ref(), value, Entitlement::parse);
                }
                "insecure_registry" => config.insecure_registry = file.list(key.get_ref(), value, registry_host),
                "cache_deadline" => config.cache_deadline = file.string(key.get_ref(), value, deadline),
                "name" => config.name = file.string(key.get_ref(), value, agent_name),
                "max_builds" => config.max_builds = file.number(key.get_ref(), value),
                "max_queue" => config.max_queue = file.number(key.get_ref(), value),
                key if access::KEYS.contains(&key) => config.access.read(&mut file, key, value),
                unknown => {
                    let keys = [&KEYS[..], &access::KEYS].concat().join(", ");
                    let problem = format!("unknown key; the keys are {keys}");
                    file.mistake(unknown, &key.span(), problem);
                }
            }
        }
        file.mistakes.sort_by_key(|mistake| mistake.line);
        if file.mistakes.is_empty() { Ok(config) } else { Err(file.mistakes) }
    }

    /// Merges: a flag wins over the environment, that over the file, and that over the default. Lists replace each
    /// other, they are not added up.
    ///
    /// `variable` looks up a variable of the environment: `REMORA_ENGINE` (else `DOCKER_HOST`), `REMORA_LISTEN`,
    /// `REMORA_ALLOW_ENTITLEMENT` and `REMORA_INSECURE_REGISTRY` (separated by commas, as `REMORA_LISTEN` is),
    /// `REMORA_CACHE_DEADLINE`, `REMORA_NAME`, `REMORA_MAX_BUILDS`, `REMORA_MAX_QUEUE`, those of [`Access`], and those of
    /// [`EngineUrl::with_docker_tls`], which apply wherever the address came from. An empty variable says nothing.
    pub fn resolve(
        flags: &Flags,
        variable: impl Fn(&str) -> Option<String>,
        file: FileConfig,
    ) -> Result<Self, Vec<Mistake>> {
        let mut source = Sources { variable: &variable, mistakes: Vec::new() };
        let (name, text) = source
            .text("--engine", flags.engine.as_deref(), &["REMORA_ENGINE", "DOCKER_HOST"])
            .unwrap_or_else(|| ("engine", file.engine.unwrap_or_else(|| DEFAULT_ENGINE.to_owned())));
        let engine = source.keep(name, EngineUrl::with_docker_tls(&text, &variable).map_err(describe));
        let parse = |text: &str| ListenUrl::parse(text).map_err(describe);
        let listen = source
            .list("--listen", &flags.listen, "REMORA_LISTEN", parse)
            .or(file.listen)
            .unwrap_or_else(|| source.keep("listen", parse(DEFAULT_LISTEN)).into_iter().collect());
        let access = Access::resolve(&flags.access, &mut source, file.access);
        let allow_entitlement = source
            .list("--allow-entitlement", &flags.allow_entitlement, "REMORA_ALLOW_ENTITLEMENT", Entitlement::parse)
            .or(file.allow_entitlement)
            .unwrap_or_default();
        let insecure_registry = source
            .list("--insecure-registry", &flags.insecure_registry, "REMORA_INSECURE_REGISTRY", registry_host)
            .or(file.insecure_registry)
            .unwrap_or_default();
        let given = source.text("--cache-deadline", flags.cache_deadline.as_deref(), &["REMORA_CACHE_DEADLINE"]);
        let cache_deadline = given
            .and_then(|(name, text)| source.keep(name, deadline(&text)))
            .or(file.cache_deadline)
            .unwrap_or(DEFAULT_CACHE_DEADLINE);
        let given = source.text("--name", flags.name.as_deref(), &["REMORA_NAME"]);
        let name = given.and_then(|(name, text)| source.keep(name, agent_name(&text))).or(file.name);
        let mut number = |flag, value: Option<&str>, variable| {
            let (name, text) = source.text(flag, value, &[variable])?;
            source.keep(name, builds(&text))
        };
        let max_builds = number("--max-builds", flags.max_builds.as_deref(), "REMORA_MAX_BUILDS");
        let max_queue = number("--max-queue", flags.max_queue.as_deref(), "REMORA_MAX_QUEUE");
        let max_builds = max_builds.or(file.max_builds).unwrap_or(0);
        let max_queue = max_queue.or(file.max_queue).unwrap_or(DEFAULT_MAX_QUEUE);
        match engine {
            Some(engine) if source.mistakes.is_empty() => Ok(Self {
                engine,
                listen,
                access,
                allow_entitlement,
                insecure_registry,
                cache_deadline,
                name,
                max_builds,
                max_queue,
            }),
            _ => Err(source.mistakes),
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // shaped for `map_err`
fn describe(error: InvalidAddress) -> String {
    error.to_string()
}

/// A minute at most: a registry that is slower than that is no cache.
fn deadline(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= Duration::from_secs(60) => Ok(time),
        Ok(_) => Err(format!("'{text}' is too long: 60s at most")),
        Err(_) => Err(format!("'{text}' is no time: write it such as 2s or 500ms")),
    }
}

/// What clients show, and tell agents apart by.
fn agent_name(text: &str) -> Result<String, String> {
    if (1..=253).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(format!("'{}' is no name: 1 to 253 letters, digits and signs, without spaces", text.escape_debug()))
}

/// The most builds that anybody means.
const MOST_BUILDS: usize = 10_000;

fn builds(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= MOST_BUILDS);
    number.ok_or_else(|| format!("'{text}' is no number of builds: 0 to {MOST_BUILDS}"))
}

/// A registry is written as in an image reference: BuildKit and Docker compare it letter by letter.
pub(crate) fn registry_host(text: &str) -> Result<String, String> {
    let problem = if text.contains("://") {
        "write host or host:port, without a scheme"
    } else if text.contains('/') {
        "write host or host:port; networks and paths are not known here"
    } else if format!("{text}/x").parse::<crate::model::Reference>().is_ok_and(|r| r.registry() == text) {
        return Ok(text.to_owned());
    } else if text.is_empty() {
        "the host is missing"
    } else {
        "write a host with a dot or a port, such as registry:5000"
    };
    Err(format!("invalid registry '{text}': {problem}"))
}

#[cfg(test)]
mod tests;
