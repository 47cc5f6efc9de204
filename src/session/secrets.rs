//! `moby.buildkit.secrets.v1.Secrets`: hands the engine the secrets that the client was told to lend, and no other.
//!
//! A value is read when it is asked for, and kept nowhere.

use std::{collections::BTreeMap, ffi::OsString, fs, io, io::Read as _, path::PathBuf};

use tonic::Status;

/// Bytes of a secret at most, as `BuildKit` has it.
const LARGEST: u64 = 500 << 10;

/// Where a secret's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In this file.
    File(PathBuf),
    /// In this variable of the environment.
    Variable(OsString),
}

/// Secrets by their ids.
#[derive(Debug, Clone, Default)]
pub struct Secrets(pub BTreeMap<String, Secret>);

impl Secret {
    /// Whether it can be read; says why not, without its value.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::File(path) => match fs::metadata(path) {
                Ok(file) if file.is_dir() => Err(format!("{} is a directory", path.display())),
                Ok(file) if file.len() > LARGEST => Err(too_large()),
                Ok(file) if file.is_file() => self.read().map(drop),
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{}: {error}", path.display())),
            },
            Self::Variable(_) => self.read().map(drop),
        }
    }

    /// Its value. Blocks.
    fn read(&self) -> Result<Vec<u8>, String> {
        use std::os::unix::ffi::OsStringExt as _;
        let value = match self {
            Self::File(path) => {
                let read = || -> io::Result<Vec<u8>> {
                    let mut value = Vec::new();
                    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut value)?;
                    Ok(value)
                };
                read().map_err(|error| format!("{}: {error}", path.display()))?
            }
            Self::Variable(name) => std::env::var_os(name)
                .ok_or_else(|| format!("the variable {} is not set", name.to_string_lossy()))?
                .into_vec(),
        };
        if value.len() as u64 > LARGEST { Err(too_large()) } else { Ok(value) }
    }
}

fn too_large() -> String {
    format!("a secret has {} KiB at most", LARGEST >> 10)
}

impl Secrets {
    /// A secret's value. Blocks.
    pub(super) fn get(&self, id: &str) -> Result<Vec<u8>, Status> {
        let secret = self.0.get(id).ok_or_else(|| Status::not_found(format!("secret {id} not found")))?;
        secret.read().map_err(|why| Status::failed_precondition(format!("secret {id}: {why}")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_is_what_its_file_holds_now_and_others_are_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, b"\xffone").unwrap();
        let secrets = Secrets([("token".to_owned(), Secret::File(path.clone()))].into());
        assert_eq!(secrets.get("token").unwrap(), b"\xffone");
        fs::write(&path, "two").unwrap();
        assert_eq!(secrets.get("token").unwrap(), b"two");
        assert_eq!(secrets.get("other").unwrap_err().code(), tonic::Code::NotFound);
    }

    #[test]
    fn what_cannot_be_lent_is_said_without_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large");
        fs::write(&large, vec![b'x'; 513 << 10]).unwrap();
        for (secret, why) in [
            (Secret::File(large), "500 KiB"),
            (Secret::File(dir.path().join("none")), "none"),
            (Secret::File(dir.path().to_owned()), "directory"),
            (Secret::Variable("REMORA_NO_SUCH_VARIABLE".into()), "not set"),
        ] {
            let told = secret.check().unwrap_err();
            assert!(told.contains(why) && !told.contains("xx"), "{told}");
        }
    }
}
