//! Flags for what RUN steps are given.

use clap::Args;

use crate::model::{HostAddress, RunOptions, Ulimit, check_host};

#[derive(Args)]
#[command(next_help_heading = "Steps")]
pub(in crate::cli) struct Run {
    /// Add an entry to /etc/hosts; the address may be host-gateway, that of the engine's host; repeatable
    #[arg(long = "add-host", value_name = "NAME:ADDRESS", value_delimiter = ',', value_parser = host)]
    hosts: Vec<(String, HostAddress)>,
    /// Control group of the engine's host that the steps run below, so that its limits hold for them
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    cgroup_parent: String,
    /// Size of /dev/shm, such as 64m or 1g
    #[arg(long, value_name = "SIZE", value_parser = memory, default_value = "0", hide_default_value = true)]
    shm_size: u64,
    /// Limit what a process may use, such as nofile=1024:4096; repeatable
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]", value_parser = Ulimit::parse)]
    ulimits: Vec<Ulimit>,
}

impl Run {
    pub(in crate::cli) fn request(self) -> RunOptions {
        let Self { hosts, cgroup_parent, shm_size, ulimits } = self;
        RunOptions { hosts, cgroup_parent, shm_bytes: shm_size, ulimits }
    }
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; an IPv6 address has colons of its own.
fn host(text: &str) -> Result<(String, HostAddress), String> {
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) = split.ok_or("an entry is NAME:ADDRESS, such as db.example:10.0.0.5")?;
    check_host(name)?;
    let address = HostAddress::parse(address)
        .ok_or_else(|| format!("'{address}' is no address: an IP address, or host-gateway"))?;
    Ok((name.to_owned(), address))
}

/// Bytes as Docker reads them: units are powers of 1024, with or without `b` or `ib` behind them.
fn memory(text: &str) -> Result<u64, String> {
    let wrong = || "a size is a number with a unit, such as 64m or 1g".to_owned();
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, shift) = match bare.bytes().last() {
        Some(b'k') => (&bare[..bare.len() - 1], 10),
        Some(b'm') => (&bare[..bare.len() - 1], 20),
        Some(b'g') => (&bare[..bare.len() - 1], 30),
        Some(b't') => (&bare[..bare.len() - 1], 40),
        _ => (bare, 0),
    };
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_read_as_docker_reads_them() {
        for (text, bytes) in [("64m", 64 << 20), ("1g", 1 << 30), ("2GB", 2 << 30), ("1KiB", 1024), ("5", 5), ("5b", 5)]
        {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        for odd in ["", "m", "-1", "1x", "1.5.5g", "99999999999t"] {
            assert!(memory(odd).is_err(), "{odd}");
        }
        for text in ["db:10.0.0.5", "db=10.0.0.5", "db:::1", "db:[::1]", "db:host-gateway"] {
            assert_eq!(host(text).unwrap().0, "db", "{text}");
        }
        for odd in ["db", ":10.0.0.5", "db:", "db:here", "a,b:10.0.0.5"] {
            assert!(host(odd).is_err(), "{odd}");
        }
    }
}
