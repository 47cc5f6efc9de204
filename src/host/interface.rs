//! The interfaces of the network namespace.

use std::net::{Ipv4Addr, UdpSocket};

use rustix::net::netdevice::name_to_index;

/// Whether an interface of this name, such as `docker0`, is in the agent's own network namespace.
pub fn has_interface(name: &str) -> bool {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).is_ok_and(|socket| name_to_index(&socket, name).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_seen() {
        assert!(has_interface("lo"));
        assert!(!has_interface("no-such-thing0") && !has_interface(""));
    }
}
