//! The filesystem behind a path.

use std::{io, path::Path};

use crate::model::Volume;

/// Magic numbers of statfs(2), from linux/magic.h and the filesystems' own headers.
const NAMES: [(u64, &str); 11] = [
    (0x794c_7630, "overlayfs"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x2fc1_2fc1, "zfs"),
];

/// Looks at the filesystem that this path is on, which must be there.
pub fn volume(path: &Path) -> io::Result<Volume> {
    let told = rustix::fs::statfs(path)?;
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)] // 32 bits, sign-extended on some machines
    let magic = u64::from(told.f_type as u32);
    let name = NAMES.iter().find(|(number, _)| *number == magic).map(|(_, name)| (*name).to_owned());
    let block = u64::try_from(told.f_bsize).unwrap_or_default();
    Ok(Volume {
        filesystem: name.unwrap_or_else(|| format!("{magic:#x}")),
        total: told.f_blocks.saturating_mul(block),
        free: told.f_bavail.saturating_mul(block),
    })
}
