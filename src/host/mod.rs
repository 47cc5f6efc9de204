//! What the kernel tells of the pod, or the machine, that the agent is in.

mod mtu;
mod volume;

pub use mtu::mtu;
pub use volume::volume;
