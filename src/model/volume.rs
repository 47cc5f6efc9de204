//! The filesystem behind a path, as far as an engine cares.

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its kind, such as `ext4`; a number for what has no name here.
    pub filesystem: String,
    /// Bytes that it holds.
    pub total: u64,
    /// Bytes that are free for users other than root.
    pub free: u64,
}

/// Free bytes below which an engine soon has no room: a base image, its layers unpacked, and a build's own.
const LITTLE: u64 = 5_000_000_000;

impl Volume {
    /// Whether images and cache soon fill it.
    pub fn has_little(&self) -> bool {
        self.free < LITTLE
    }

    /// Whether it is the layers of a container.
    pub fn is_overlay(&self) -> bool {
        self.filesystem == "overlayfs"
    }

    /// Whether it is memory.
    pub fn is_memory(&self) -> bool {
        matches!(self.filesystem.as_str(), "tmpfs" | "ramfs")
    }

    /// Whether the kernel can lay an engine's layers on it. Overlayfs takes neither itself nor a network filesystem for
    /// the upper layer: <https://docs.kernel.org/filesystems/overlayfs.html>.
    pub fn takes_layers(&self) -> bool {
        !self.is_overlay() && !matches!(self.filesystem.as_str(), "nfs" | "cifs" | "smb2")
    }
}
