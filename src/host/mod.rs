//! What the kernel tells of the pod, or the machine, that the agent is in.

mod interface;
mod mtu;
mod volume;

pub use interface::has_interface;
pub use mtu::mtu;
pub use volume::volume;
