//! What RUN steps are given beside the network.

use std::net::IpAddr;

/// Names of limits, as `docker build` takes them.
const ULIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// What RUN steps are given beside the network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunOptions {
    /// Entries for `/etc/hosts`.
    pub hosts: Vec<(String, HostAddress)>,
    /// The control group above theirs; empty for the engine's choice.
    pub cgroup_parent: String,
    /// Bytes of `/dev/shm`; 0 for the engine's choice.
    pub shm_bytes: u64,
    /// What their processes may use.
    pub ulimits: Vec<Ulimit>,
}

/// The address of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAddress {
    /// This one.
    Ip(IpAddr),
    /// Where containers reach the engine's host.
    Gateway,
}

/// What a process may use of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// Of what, such as `nofile`.
    pub name: String,
    /// What it has; -1 is without limit.
    pub soft: i64,
    /// How far it may raise that; -1 is without limit.
    pub hard: i64,
}

impl RunOptions {
    /// Says what is wrong with it, if something is.
    pub fn check(&self) -> Result<(), String> {
        for (name, _) in &self.hosts {
            check_host(name)?;
        }
        for ulimit in &self.ulimits {
            ulimit.check()?;
        }
        if self.cgroup_parent.chars().any(char::is_control) {
            return Err("the name of a control group has no control characters".to_owned());
        }
        Ok(())
    }
}

impl HostAddress {
    /// An IP address, which may stand in brackets, or `host-gateway`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "host-gateway" {
            return Some(Self::Gateway);
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        bare.parse().ok().map(Self::Ip)
    }
}

impl std::fmt::Display for HostAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Gateway => f.write_str("host-gateway"),
        }
    }
}

impl Ulimit {
    /// `NAME=SOFT[:HARD]`, as Docker takes it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, limits) = text.split_once('=').ok_or("a limit is NAME=SOFT[:HARD], such as nofile=1024:2048")?;
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let number =
            |text: &str| text.parse::<i64>().map_err(|_| format!("'{text}' is no limit: a number, or -1 for none"));
        let ulimit = Self { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? };
        ulimit.check()?;
        Ok(ulimit)
    }

    fn check(&self) -> Result<(), String> {
        let Self { name, soft, hard } = self;
        if !ULIMITS.contains(&name.as_str()) {
            return Err(format!("there is no limit '{name}': there are {}", ULIMITS.join(", ")));
        }
        if *soft < -1 || *hard < -1 {
            return Err(format!("the limit {name}: a number, or -1 for none"));
        }
        if *hard != -1 && (*soft == -1 || soft > hard) {
            return Err(format!("the limit {name}: {soft} is above {hard}, which it must not be"));
        }
        Ok(())
    }
}

/// Says what is wrong with the name of a host, if something is.
pub fn check_host(name: &str) -> Result<(), String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || name.len() > 253 || !name.bytes().all(word) {
        return Err(format!("'{name}' is no name of a host"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn limits_are_read_as_docker_reads_them() {
        let limit = |name: &str, soft, hard| Ulimit { name: name.to_owned(), soft, hard };
        assert_eq!(Ulimit::parse("nofile=1024:2048"), Ok(limit("nofile", 1024, 2048)));
        assert_eq!(Ulimit::parse("nproc=64"), Ok(limit("nproc", 64, 64)));
        assert_eq!(Ulimit::parse("memlock=-1:-1"), Ok(limit("memlock", -1, -1)));
        for odd in ["nofile", "nofile=", "nofile=a", "nofile=2:1", "nofile=-1:5", "nofile=-2", "no,file=1", "files=1"] {
            assert!(Ulimit::parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn addresses_are_such_and_the_engines_host() {
        for address in ["10.0.0.1", "::1", "[::1]", "host-gateway"] {
            assert!(HostAddress::parse(address).is_some(), "{address}");
        }
        for odd in ["", "10.0.0", "10.0.0.1,x=10.0.0.2", "gateway"] {
            assert_eq!(HostAddress::parse(odd), None, "{odd}");
        }
        assert!(check_host("a=b").is_err() && check_host("").is_err() && check_host("host.docker.internal").is_ok());
    }
}
