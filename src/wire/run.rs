//! What RUN steps are given <-> protobuf.

use super::request::usage;
use crate::{
    model::{Failure, HostAddress, RunOptions, Ulimit},
    pb,
};

impl TryFrom<pb::RunOptions> for RunOptions {
    type Error = Failure;

    fn try_from(run: pb::RunOptions) -> Result<Self, Failure> {
        let pb::RunOptions { hosts, cgroup_parent, shm_bytes, ulimits } = run;
        let host = |pb::Host { name, address }| match HostAddress::parse(&address) {
            Some(address) => Ok((name, address)),
            None => Err(usage(format!("'{address}' is no address of a host: an IP address, or host-gateway"))),
        };
        let ulimit = |pb::Ulimit { name, soft, hard }| Ulimit { name, soft, hard };
        let run = Self {
            hosts: hosts.into_iter().map(host).collect::<Result<_, _>>()?,
            cgroup_parent,
            shm_bytes,
            ulimits: ulimits.into_iter().map(ulimit).collect(),
        };
        run.check().map_err(usage)?;
        Ok(run)
    }
}

impl From<RunOptions> for pb::RunOptions {
    fn from(run: RunOptions) -> Self {
        let RunOptions { hosts, cgroup_parent, shm_bytes, ulimits } = run;
        let host = |(name, address): (String, HostAddress)| pb::Host { name, address: address.to_string() };
        let ulimit = |Ulimit { name, soft, hard }| pb::Ulimit { name, soft, hard };
        Self {
            hosts: hosts.into_iter().map(host).collect(),
            cgroup_parent,
            shm_bytes,
            ulimits: ulimits.into_iter().map(ulimit).collect(),
        }
    }
}
