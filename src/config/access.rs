//! Who may connect, and how: TLS, authentication, and the cluster's secrets.

use std::path::PathBuf;

use super::{FileReader, Mistake, Sources};
use crate::model::{ListenUrl, SecretName};

/// What TLS on TCP needs, in PEM. The files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The agent's certificate, and those that lead to its authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs the certificates that clients must show; `None` asks for none.
    pub client_ca: Option<PathBuf>,
}

/// Who may connect, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// TLS on TCP.
    pub tls: Option<TlsFiles>,
    /// The audience of the Kubernetes tokens that callers over TCP show; `None` where the cluster is not asked.
    pub kubernetes: Option<String>,
    /// Pull secrets of the cluster.
    pub pull_secrets: Vec<SecretName>,
}

/// What the command line says of it, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Who may connect")]
#[allow(clippy::doc_markdown)] // --help shows the comments as they are
pub struct AccessFlags {
    /// The certificate for TCP, in PEM; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// The key of the certificate
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// Clients over TCP must show a certificate that one of these signed
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<String>,
    /// Callers over TCP must show a token of the cluster, and its RBAC says what they may do
    #[arg(long)]
    pub kubernetes_auth: bool,
    /// The audience that such tokens must be for [default: remora]
    #[arg(long, value_name = "NAME")]
    pub kubernetes_audience: Option<String>,
    /// Log in to registries with this secret of the cluster where a client has nothing for them; repeatable
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub pull_secret: Vec<String>,
}

/// What the file says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessFile {
    tls_cert: Option<String>,
    tls_key: Option<String>,
    tls_client_ca: Option<String>,
    kubernetes_auth: Option<bool>,
    kubernetes_audience: Option<String>,
    pull_secret: Option<Vec<SecretName>>,
}

/// Its keys in the file.
pub(super) const KEYS: [&str; 6] =
    ["tls_cert", "tls_key", "tls_client_ca", "kubernetes_auth", "kubernetes_audience", "pull_secret"];

/// The audience that nobody named.
const AUDIENCE: &str = "remora";

impl AccessFile {
    /// Reads the value of one of [`KEYS`].
    pub(super) fn read(&mut self, file: &mut FileReader<'_>, key: &str, value: &toml::Spanned<toml::de::DeValue<'_>>) {
        let text = |text: &str| if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) };
        match key {
            "tls_cert" => self.tls_cert = file.string(key, value, text),
            "tls_key" => self.tls_key = file.string(key, value, text),
            "tls_client_ca" => self.tls_client_ca = file.string(key, value, text),
            "kubernetes_audience" => self.kubernetes_audience = file.string(key, value, text),
            "kubernetes_auth" => self.kubernetes_auth = file.boolean(key, value),
            _ => self.pull_secret = file.list(key, value, str::parse),
        }
    }
}

impl Access {
    /// A flag wins over the environment, that over the file.
    pub(super) fn resolve(flags: &AccessFlags, source: &mut Sources<'_>, file: AccessFile) -> Self {
        let text = |flag, value: &Option<String>, variable, file: Option<String>| {
            source.text(flag, value.as_deref(), &[variable]).map(|(_, text)| text).or(file)
        };
        let cert = text("--tls-cert", &flags.tls_cert, "REMORA_TLS_CERT", file.tls_cert);
        let key = text("--tls-key", &flags.tls_key, "REMORA_TLS_KEY", file.tls_key);
        let client_ca = text("--tls-client-ca", &flags.tls_client_ca, "REMORA_TLS_CLIENT_CA", file.tls_client_ca);
        let audience = text(
            "--kubernetes-audience",
            &flags.kubernetes_audience,
            "REMORA_KUBERNETES_AUDIENCE",
            file.kubernetes_audience,
        );
        let wanted = source.text("--kubernetes-auth", None, &["REMORA_KUBERNETES_AUTH"]);
        let wanted = wanted.and_then(|(name, text)| source.keep(name, truth(&text)));
        let asked = flags.kubernetes_auth || wanted.or(file.kubernetes_auth).unwrap_or_default();
        let pull_secrets = source
            .list("--pull-secret", &flags.pull_secret, "REMORA_PULL_SECRET", str::parse)
            .or(file.pull_secret)
            .unwrap_or_default();
        let mut lacks = |key: &str, problem: &str| {
            source.mistakes.push(Mistake { line: None, key: key.to_owned(), problem: problem.to_owned() });
        };
        let tls = match (cert, key) {
            (Some(cert), Some(key)) => {
                Some(TlsFiles { cert: cert.into(), key: key.into(), client_ca: client_ca.map(PathBuf::from) })
            }
            (Some(_), None) => {
                lacks("tls_key", "--tls-cert needs --tls-key beside it");
                None
            }
            (None, Some(_)) => {
                lacks("tls_cert", "--tls-key needs --tls-cert beside it");
                None
            }
            (None, None) => {
                if client_ca.is_some() {
                    lacks("tls_client_ca", "--tls-client-ca needs --tls-cert and --tls-key beside it");
                }
                None
            }
        };
        if !asked && audience.is_some() {
            lacks("kubernetes_audience", "--kubernetes-audience means nothing without --kubernetes-auth");
        }
        let kubernetes = asked.then(|| audience.unwrap_or_else(|| AUDIENCE.to_owned()));
        Self { tls, kubernetes, pull_secrets }
    }

    /// What is missing before the agent may listen there: a line for each address. `has_token` is whether callers must
    /// show the agent's own token.
    pub fn missing(&self, listen: &[ListenUrl], has_token: bool) -> Vec<String> {
        let has_client_ca = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let authenticates = has_token || self.kubernetes.is_some() || has_client_ca;
        let missing = |url: &&ListenUrl| {
            let needs_tls = url.is_beyond_loopback() && self.tls.is_none();
            match (matches!(url, ListenUrl::Tcp(_)), needs_tls, !authenticates) {
                (true, true, false) => Some(format!("listening on {url} needs TLS: add {TLS}")),
                (true, true, true) => {
                    Some(format!("listening on {url} needs TLS and authentication: add {TLS}, and {AUTH}"))
                }
                (true, false, true) => {
                    Some(format!("listening on {url} needs authentication: add {AUTH}, or listen on a unix socket"))
                }
                _ => None,
            }
        };
        listen.iter().filter_map(|url| missing(&url)).collect()
    }
}

const TLS: &str = "--tls-cert FILE and --tls-key FILE";
const AUTH: &str = "REMORA_TOKEN for the agent and its clients, --kubernetes-auth, or --tls-client-ca FILE";

fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(format!("'{text}' is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{Config, Flags};

    fn access(flags: AccessFlags, env: &[(&str, &str)], file: &str) -> Result<Access, String> {
        let look = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let file = Config::from_file_text(file).unwrap();
        let flags = Flags { access: flags, ..Flags::default() };
        let config = Config::resolve(&flags, look, file);
        config
            .map(|config| config.access)
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn all_of_it_comes_from_flags_variables_or_file() {
        let wanted = Access {
            tls: Some(TlsFiles { cert: "c".into(), key: "k".into(), client_ca: Some("ca".into()) }),
            kubernetes: Some("mine".to_owned()),
            pull_secrets: vec!["ns/a".parse().unwrap(), "b".parse().unwrap()],
        };
        let text = |text: &str| Some(text.to_owned());
        let flags = AccessFlags {
            tls_cert: text("c"),
            tls_key: text("k"),
            tls_client_ca: text("ca"),
            kubernetes_auth: true,
            kubernetes_audience: text("mine"),
            pull_secret: vec!["ns/a".to_owned(), "b".to_owned()],
        };
        assert_eq!(access(flags, &[], "tls_cert = 'other'"), Ok(wanted.clone()));
        let env = [
            ("REMORA_TLS_CERT", "c"),
            ("REMORA_TLS_KEY", "k"),
            ("REMORA_TLS_CLIENT_CA", "ca"),
            ("REMORA_KUBERNETES_AUTH", "true"),
            ("REMORA_KUBERNETES_AUDIENCE", "mine"),
            ("REMORA_PULL_SECRET", "ns/a, b"),
        ];
        assert_eq!(access(AccessFlags::default(), &env, "kubernetes_auth = false"), Ok(wanted.clone()));
        let file = "tls_cert = 'c'\ntls_key = 'k'\ntls_client_ca = 'ca'\nkubernetes_auth = true\n\
                    kubernetes_audience = 'mine'\npull_secret = ['ns/a', 'b']";
        assert_eq!(access(AccessFlags::default(), &[], file), Ok(wanted));
        assert_eq!(access(AccessFlags::default(), &[("REMORA_KUBERNETES_AUTH", "0")], ""), Ok(Access::default()));
    }

    #[test]
    fn what_does_not_go_together_is_a_mistake() {
        for (env, word) in [
            (("REMORA_TLS_CERT", "c"), "needs --tls-key"),
            (("REMORA_TLS_KEY", "k"), "needs --tls-cert"),
            (("REMORA_TLS_CLIENT_CA", "k"), "needs --tls-cert and --tls-key"),
            (("REMORA_KUBERNETES_AUDIENCE", "a"), "without --kubernetes-auth"),
            (("REMORA_KUBERNETES_AUTH", "maybe"), "neither true nor false"),
            (("REMORA_PULL_SECRET", "A"), "is no secret"),
        ] {
            let mistakes = access(AccessFlags::default(), &[env], "").unwrap_err();
            assert!(mistakes.contains(word), "{mistakes}");
        }
    }

    #[test]
    fn nobody_beyond_the_machine_gets_in_without_tls_and_authentication() {
        let tls = |client_ca| Some(TlsFiles { cert: "c".into(), key: "k".into(), client_ca });
        let open = Access::default();
        let encrypted = Access { tls: tls(None), ..Access::default() };
        let mutual = Access { tls: tls(Some("ca".into())), ..Access::default() };
        let cluster = Access { tls: tls(None), kubernetes: Some("remora".to_owned()), ..Access::default() };
        let missing = |access: &Access, url: &str, has_token| {
            let missing = access.missing(&[ListenUrl::parse(url).unwrap()], has_token).join("\n");
            (missing.contains("--tls-cert"), missing.contains("--kubernetes-auth"))
        };
        for url in ["tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://10.0.0.1:1"] {
            assert_eq!(missing(&open, url, false), (true, true));
            assert_eq!(missing(&open, url, true), (true, false));
            assert_eq!(missing(&encrypted, url, false), (false, true));
            for good in [&mutual, &cluster] {
                assert_eq!(missing(good, url, false), (false, false));
            }
            assert_eq!(missing(&encrypted, url, true), (false, false));
        }
        assert_eq!(missing(&open, "tcp://127.0.0.1:1", false), (false, true));
        assert_eq!(missing(&open, "tcp://127.0.0.1:1", true), (false, false));
        assert_eq!(missing(&open, "unix:///a", false), (false, false));
    }
}
