//! The largest packet that leaves the pod.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::net::sockopt;

/// The MTU of the default route in bytes: of its interface, or what the route itself says, as some pod networks have
/// it. The smaller one of IPv4 and IPv6; `None` without a default route.
///
/// The kernel is asked for the route to an address that nobody has (RFC 5737, RFC 3849); no packet is sent.
pub fn mtu() -> Option<u32> {
    let v4 = connected((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into());
    let nobody = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let v6 = connected((Ipv6Addr::UNSPECIFIED, 0).into(), (nobody, 9).into());
    let v4 = v4.and_then(|socket| sockopt::ip_mtu(&socket).ok());
    let v6 = v6.and_then(|socket| sockopt::ipv6_mtu(&socket).ok());
    v4.into_iter().chain(v6).min()
}

fn connected(from: SocketAddr, to: SocketAddr) -> Option<UdpSocket> {
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    Some(socket)
}
