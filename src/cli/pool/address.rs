//! `--agent` > the addresses of agents.

use std::{io, time::Duration};

use crate::{
    cli::{connect::Address, connect::parse, usage},
    model::Failure,
};

/// How long a name may take to become addresses. Resolvers ask the next server after five seconds.
const RESOLVING: Duration = Duration::from_secs(6);

/// What `--agent` names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// An agent.
    One(Address),
    /// A name, with its port, behind which there are agents.
    Dns(String),
}

impl Named {
    /// Reads a list.
    pub(super) fn list(text: &str) -> Result<Vec<Self>, Failure> {
        text.split(',').map(|url| Self::read(url.trim())).collect()
    }

    fn read(url: &str) -> Result<Self, Failure> {
        let Some(name) = url.strip_prefix("dns:///") else { return parse(url).map(Self::One) };
        match name.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
                Ok(Self::Dns(name.to_owned()))
            }
            _ => Err(usage(format!("'{url}' is no address of agents: the name or its port is missing"))
                .next("give --agent or REMORA_AGENT as dns:///host:port, such as dns:///remora.ci.svc:7733")),
        }
    }

    /// Whether it is in this very pod.
    pub(super) fn is_sidecar(&self) -> bool {
        matches!(self, Self::One(Address::Unix(_)))
    }

    /// The agents' addresses, IPv4 and IPv6, each once.
    pub(super) async fn addresses(&self) -> io::Result<Vec<Address>> {
        let name = match self {
            Self::One(address) => return Ok(vec![address.clone()]),
            Self::Dns(name) => name,
        };
        let found = tokio::time::timeout(RESOLVING, tokio::net::lookup_host(name)).await;
        let late = io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {RESOLVING:?}"));
        let mut found: Vec<_> = found.unwrap_or(Err(late))?.collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found.into_iter().map(|address| Address::Tcp(name.clone(), Some(address))).collect())
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(address) => address.fmt(f),
            Self::Dns(name) => write!(f, "dns:///{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_may_have_names_hosts_and_the_sidecar() {
        let list = Named::list("dns:///remora.ci.svc:7733, tcp://10.0.0.1:7733,unix:///run/remora/agent.sock").unwrap();
        let shown: Vec<_> = list.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["dns:///remora.ci.svc:7733", "tcp://10.0.0.1:7733", "unix:///run/remora/agent.sock"]);
        assert_eq!(list.iter().filter(|named| named.is_sidecar()).count(), 1);
        for odd in ["", "dns:///", "dns:///remora", "dns:///:7733", "dns:///a:b", "dns://a:1", "unix:///s,", "tcp://h"]
        {
            assert!(Named::list(odd).is_err(), "{odd}");
        }
    }

    #[tokio::test]
    async fn a_name_becomes_each_of_its_addresses_once() {
        let named = Named::read("dns:///localhost:7733").unwrap();
        let found = named.addresses().await.unwrap();
        assert!(found.contains(&Address::Tcp("localhost:7733".to_owned(), Some(([127, 0, 0, 1], 7733).into()))));
        let empty = Named::read("dns:///no-such-name.invalid:7733").unwrap();
        assert!(empty.addresses().await.is_err());
    }
}
