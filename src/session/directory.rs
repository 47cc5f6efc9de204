//! A directory that is lent, and how much of it. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A directory that the engine may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    pub(crate) path: PathBuf,
    /// Names in it that are lent, whatever the engine asks for, and what they link to. `None` lends everything.
    pub(crate) only: Option<Vec<Vec<u8>>>,
}

impl Directory {
    /// Lends all of it: a build context.
    pub fn whole(path: PathBuf) -> Self {
        Self { path, only: None }
    }

    /// Lends the Dockerfile `name` and what BuildKit's frontends look for beside it. It may lie in a home directory, and
    /// the engine, or a frontend named by `# syntax`, could ask for what else is there.
    pub fn of_dockerfile(path: PathBuf, name: &OsStr) -> Self {
        let name = name.as_bytes();
        let mut only = vec![name.to_vec(), [name, b".dockerignore"].concat()];
        if name == b"Dockerfile" {
            only.push(b"dockerfile".to_vec());
        }
        Self { path, only: Some(only) }
    }
}

impl From<PathBuf> for Directory {
    fn from(path: PathBuf) -> Self {
        Self::whole(path)
    }
}
