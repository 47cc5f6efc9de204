//! A pod's network: a namespace with one interface.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// It ends with this value; what runs in it must end before.
pub(crate) struct Pod {
    holder: Child,
}

impl Pod {
    /// One whose way out takes packets of this many bytes.
    pub(crate) fn new(mtu: u32) -> Self {
        let setup = format!(
            "ip link set lo up && ip link add eth0 mtu {mtu} type veth peer name out && ip link set out up && \
             ip address add 10.77.0.2/24 dev eth0 && ip link set eth0 up && ip route add default via 10.77.0.1 && \
             echo ready && exec sleep infinity"
        );
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-ec", &setup]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        Self { holder }
    }

    /// A program that is to run in it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = super::program("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).args(["--", program]).stdin(Stdio::null());
        command
    }

    /// The ports on which something listens by TCP.
    pub(crate) fn listening(&self) -> Vec<u16> {
        let table = |name: &str| std::fs::read_to_string(format!("/proc/{}/net/{name}", self.holder.id()));
        let tables = ["tcp", "tcp6"].map(|name| table(name).unwrap_or_default()).concat();
        let rows = tables.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        // State 0A is LISTEN, in proc(5).
        let listen = rows.filter(|row| row.get(3) == Some(&"0A"));
        listen.filter_map(|row| u16::from_str_radix(row[1].rsplit_once(':')?.1, 16).ok()).collect()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
