//! `remora-agent install`: the client, for steps in whatever image.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::{complain, print, put};

/// The client's file name.
const CLIENT: &str = "remora";

/// Copies the client that lies beside this program. It has its name once it is whole, and may be installed again over
/// one that runs. The error is what failed, where, and what to do.
pub(super) fn run(directory: &Path) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot tell where this program lies: {error}"))?;
    let client = own.with_file_name(CLIENT);
    let binary = fs::read(&client).map_err(|error| {
        format!("{}: {error}; the client lies beside remora-agent, as in the agent's image", client.display())
    })?;
    let place = directory.join(CLIENT);
    install(&binary, directory, &place)
        .map_err(|error| format!("{}: {error}; {}", place.display(), remedy(&error, directory)))?;
    if let Some(interpreter) = interpreter(&binary) {
        complain(&format!(
            "warning: {} is linked dynamically and wants {interpreter}, which images such as alpine or busybox do not \
             have; build the client with `cargo static`",
            client.display()
        ));
    }
    if in_the_containers_own_layer(directory) {
        complain(&format!(
            "warning: {} is in this container's own layer, where no other container sees it; mount the volume that \
             steps share",
            directory.display()
        ));
    }
    print(&format!("{} is there; steps run it by this path, or have {} in PATH", place.display(), directory.display()));
    Ok(())
}

fn install(binary: &[u8], directory: &Path, place: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    put(binary, place, 0o755)
}

fn remedy(error: &io::Error, directory: &Path) -> String {
    let directory = directory.display();
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => format!("mount the volume of {directory} writable in this container"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!("make room on the volume of {directory}"),
        io::ErrorKind::PermissionDenied => format!(
            "let this user write there: mount a volume at {directory}, and in a pod set fsGroup to the group of the agent"
        ),
        _ => "name a directory of a volume that this container and the steps mount".to_owned(),
    }
}

/// The dynamic linker that an ELF program of 64 bits asks for; `None` for one that is static, or no such program.
/// The offsets are those of `Elf64_Ehdr` and `Elf64_Phdr`, in elf(5).
fn interpreter(binary: &[u8]) -> Option<String> {
    const PT_INTERP: u64 = 3;
    if !binary.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number = |at: usize, bytes: usize| {
        let field = binary.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let index = |at, bytes| usize::try_from(number(at, bytes)?).ok();
    let (table, size, count) = (index(32, 8)?, index(54, 2)?, index(56, 2)?);
    let at = (0..count)
        .filter_map(|header| table.checked_add(header * size))
        .find(|at| number(*at, 4) == Some(PT_INTERP))?;
    let (offset, length) = (index(at + 8, 8)?, index(at + 32, 8)?);
    let name = binary.get(offset..offset.checked_add(length)?)?;
    Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
}

/// Whether a directory is no volume, and the root is a container's.
fn in_the_containers_own_layer(directory: &Path) -> bool {
    let device = |path: &Path| File::open(path).and_then(|file| file.metadata()).map(|file| file.dev());
    match (device(directory), device(Path::new("/"))) {
        (Ok(a), Ok(b)) => a == b && crate::host::volume(Path::new("/")).is_ok_and(|root| root.is_overlay()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_program_that_wants_a_linker_is_told_from_one_that_does_not() {
        // What the tests are themselves.
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(interpreter(&own).unwrap().contains("ld-linux"));
        for odd in [&b""[..], b"#!/bin/sh", b"\x7fELF\x02\x01", &own[..60]] {
            assert_eq!(interpreter(odd), None);
        }
    }

    #[test]
    fn what_is_installed_is_whole_and_runs() {
        let dir = tempfile::tempdir().unwrap();
        let (bin, place) = (dir.path().join("new/bin"), dir.path().join("new/bin/remora"));
        for text in ["#!/bin/sh\nexit 1\n", "#!/bin/sh\nexit 0\n"] {
            install(text.as_bytes(), &bin, &place).unwrap();
        }
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(&bin).unwrap().count(), 1, "a half of it is left");
        assert!(std::process::Command::new(&place).status().unwrap().success());
    }
}
