//! Where an engine listens, and where the agent does.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// Docker's port without TLS.
const PLAIN_PORT: u16 = 2375;
/// Docker's port with TLS.
const TLS_PORT: u16 = 2376;

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineUrl {
    /// `unix:///path`.
    Unix(PathBuf),
    /// `tcp://host:port`.
    Tcp {
        /// Name or address; an IPv6 address without its brackets.
        host: String,
        /// The port; as with Docker's own client 2375, or 2376 with TLS, where none is given.
        port: u16,
        /// Certificates for mutual TLS; `None` is plain TCP.
        tls: Option<TlsDir>,
    },
}

/// A directory of certificates as Docker's own client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsDir(PathBuf);

/// Where the agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenUrl {
    /// `unix:///path`.
    Unix(PathBuf),
    /// `tcp://address:port`. Beyond loopback it needs TLS and authentication; whoever starts the agent checks that.
    Tcp(SocketAddr),
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid address '{text}': {problem}")]
pub struct InvalidAddress {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl EngineUrl {
    /// Reads `unix:///path` or `tcp://host[:port]`. `tls` goes into a TCP address, and means nothing to a socket.
    pub fn parse(text: &str, tls: Option<TlsDir>) -> Result<Self, InvalidAddress> {
        let fail = |problem| InvalidAddress { text: text.to_owned(), problem };
        match text.split_once("://") {
            Some(("unix", path)) => socket_path(path).map(Self::Unix).map_err(fail),
            Some(("tcp", rest)) => {
                let (host, port) = host_and_port(rest).map_err(fail)?;
                if port == Some(0) {
                    return Err(fail("a port is a number from 1 to 65535"));
                }
                let port = port.unwrap_or(if tls.is_some() { TLS_PORT } else { PLAIN_PORT });
                Ok(Self::Tcp { host: host.to_owned(), port, tls })
            }
            Some(_) => Err(fail("an engine is unix:///path or tcp://host:port")),
            None => Err(fail("the scheme is missing: an engine is unix:///path or tcp://host:port")),
        }
    }

    /// As [`EngineUrl::parse`], with the certificates that Docker's variables name. `variable` looks one up.
    ///
    /// A `DOCKER_TLS_VERIFY` that is not empty asks for TLS; the certificates lie in `DOCKER_CERT_PATH`, else in
    /// `~/.docker`. <https://docs.docker.com/reference/cli/docker/#environment-variables>
    pub fn with_docker_tls(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidAddress> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let tls = set("DOCKER_TLS_VERIFY").map(|_| {
            let dir = set("DOCKER_CERT_PATH").map(PathBuf::from);
            TlsDir::new(dir.unwrap_or_else(|| PathBuf::from(set("HOME").unwrap_or_default()).join(".docker")))
        });
        Self::parse(text, tls)
    }
}

impl TlsDir {
    /// The directory that holds `ca.pem`, `cert.pem` and `key.pem`. Nothing is read.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Certificate of the authority that signed the engine's.
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// Our certificate.
    pub fn cert(&self) -> PathBuf {
        self.0.join("cert.pem")
    }

    /// The key of our certificate.
    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }
}

impl ListenUrl {
    /// Reads `unix:///path` or `tcp://address:port`. Port 0 takes any free one.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let fail = |problem| InvalidAddress { text: text.to_owned(), problem };
        match text.split_once("://") {
            Some(("unix", path)) => socket_path(path).map(Self::Unix).map_err(fail),
            Some(("tcp", rest)) => {
                let (host, port) = host_and_port(rest).map_err(fail)?;
                let address = match host {
                    "localhost" => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
                    _ => host.parse().ok(),
                };
                let address = address.ok_or_else(|| fail("an IP address is wanted, such as tcp://0.0.0.0:7733"))?;
                let port = port.ok_or_else(|| fail("the port is missing"))?;
                Ok(Self::Tcp(SocketAddr::new(address, port)))
            }
            Some(_) => Err(fail("the agent listens on unix:///path or tcp://address:port")),
            None => Err(fail("the scheme is missing: the agent listens on unix:///path or tcp://address:port")),
        }
    }

    /// Whether other machines may connect.
    pub fn is_beyond_loopback(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

fn socket_path(path: &str) -> Result<PathBuf, &'static str> {
    match path {
        "" | "/" => Err("the path of the socket is missing"),
        _ if path.starts_with('/') => Ok(PathBuf::from(path)),
        _ => Err("the path of a socket must be absolute: unix:///path, with three slashes"),
    }
}

fn host_and_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.contains(['/', '@', '?', '#']) {
        return Err("a TCP address is a host and a port, and nothing after them");
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']').ok_or("the ']' after an IPv6 address is missing")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("this is no IPv6 address");
            }
            match rest {
                "" => (host, None),
                _ => (host, Some(rest.strip_prefix(':').ok_or("a ':' is missing before the port")?)),
            }
        }
        None => match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => return Err("an IPv6 address goes into brackets: [::1]:2375"),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("a host holds no white space");
    }
    match port.map(str::parse::<u16>) {
        None => Ok((host, None)),
        Some(Ok(port)) => Ok((host, Some(port))),
        Some(Err(_)) => Err("a port is a number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn engine(text: &str) -> Result<String, &'static str> {
        EngineUrl::parse(text, None).map(|url| url.to_string()).map_err(|e| e.problem)
    }

    fn listen(text: &str) -> Result<String, &'static str> {
        ListenUrl::parse(text).map(|url| url.to_string()).map_err(|e| e.problem)
    }

    #[test]
    fn engines_are_sockets_or_hosts() {
        for good in ["unix:///var/run/docker.sock", "tcp://docker:2375", "tcp://10.0.0.1:1", "tcp://[::1]:2376"] {
            assert_eq!(engine(good).as_deref(), Ok(good));
        }
        assert_eq!(engine("tcp://docker").as_deref(), Ok("tcp://docker:2375"));
        assert_eq!(engine("tcp://docker:2375/").as_deref(), Ok("tcp://docker:2375"));
    }

    #[test]
    fn what_is_no_engine_is_told_why() {
        for (bad, why) in [
            ("/var/run/docker.sock", "scheme is missing"),
            ("ssh://me@host", "unix:///path or tcp"),
            ("unix://docker.sock", "absolute"),
            ("unix://", "path of the socket is missing"),
            ("tcp://:2375", "host is missing"),
            ("tcp://h:0", "1 to 65535"),
            ("tcp://h:65536", "1 to 65535"),
            ("tcp://h:", "1 to 65535"),
            ("tcp://h:1/path", "nothing after"),
            ("tcp://user@h:1", "nothing after"),
            ("tcp://::1:2375", "brackets"),
            ("tcp://[::1", "']'"),
            ("tcp://[::1]2375", "':' is missing"),
            ("tcp://[host]:1", "no IPv6"),
        ] {
            let problem = engine(bad).unwrap_err();
            assert!(problem.contains(why), "{bad}: {problem}");
        }
    }

    #[test]
    fn dockers_variables_turn_tls_on() {
        let with = |vars: &'static [(&str, &str)]| {
            let look = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            EngineUrl::with_docker_tls("tcp://docker", look).unwrap()
        };
        let tls = |port, dir: &str| EngineUrl::Tcp { host: "docker".into(), port, tls: Some(TlsDir::new(dir)) };
        assert_eq!(with(&[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")]), tls(2376, "/certs"));
        assert_eq!(with(&[("DOCKER_TLS_VERIFY", "1"), ("HOME", "/root")]), tls(2376, "/root/.docker"));
        let plain = EngineUrl::Tcp { host: "docker".into(), port: 2375, tls: None };
        assert_eq!(with(&[("DOCKER_TLS_VERIFY", ""), ("DOCKER_CERT_PATH", "/certs")]), plain);
        assert_eq!(TlsDir::new("/certs").key(), Path::new("/certs/key.pem"));
    }

    #[test]
    fn the_agent_listens_on_a_socket_or_on_an_address() {
        assert_eq!(listen("unix:///run/remora/agent.sock").as_deref(), Ok("unix:///run/remora/agent.sock"));
        assert_eq!(listen("tcp://localhost:7777").as_deref(), Ok("tcp://127.0.0.1:7777"));
        for (text, beyond) in [
            ("unix:///a", false),
            ("tcp://127.9.9.9:1", false),
            ("tcp://[::1]:7777", false),
            ("tcp://[::ffff:127.0.0.1]:1", false),
            ("tcp://0.0.0.0:7777", true),
            ("tcp://10.1.2.3:7777", true),
            ("tcp://[::]:7777", true),
        ] {
            assert_eq!(ListenUrl::parse(text).unwrap().is_beyond_loopback(), beyond, "{text}");
        }
        assert!(listen("tcp://agent:7777").unwrap_err().contains("IP address"));
        assert!(listen("tcp://127.0.0.1").unwrap_err().contains("port is missing"));
    }
}
