//! What the build context is, and where its Dockerfile lies.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    dockerfile::{self, Dockerfile},
    excerpt, ignored, usage,
};
use crate::model::{ContextKind, Failure, FailureKind};

/// A build context.
pub(super) struct Context {
    /// The directory that is lent. None where the engine fetches the context.
    pub(super) directory: Option<PathBuf>,
    /// What the engine fetches.
    pub(super) remote: Option<String>,
    pub(super) dockerfile: Dockerfile,
}

impl Context {
    /// Finds the context that the argument names, with the Dockerfile that `-f` names.
    pub(super) fn find(path: &Path, file: Option<&Path>) -> Result<Self, Failure> {
        let text = path.to_string_lossy();
        match ContextKind::of(&text, path.is_dir()) {
            ContextKind::Directory => {
                let directory = directory(path)?;
                Ok(Self { directory: Some(directory), remote: None, dockerfile: dockerfile::find(path, file)? })
            }
            ContextKind::Stdin if file.is_none() => {
                let (directory, dockerfile) = dockerfile::alone(io::stdin().lock())?;
                Ok(Self { directory: Some(directory), remote: None, dockerfile })
            }
            ContextKind::Stdin => Err(usage("the Dockerfile comes on standard input, and -f names another one")
                .next("leave -f out, or name a directory as the context")),
            ContextKind::Git | ContextKind::Url => {
                let dockerfile = dockerfile::find_for_remote(file)?;
                Ok(Self { directory: None, remote: Some(text.into_owned()), dockerfile })
            }
        }
    }

    /// With what the context's own files tell of it.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let Some(path) = self.dockerfile.path() else { return failure };
        let failure = match &self.directory {
            Some(directory) => ignored::explain(failure, directory, &path),
            None => failure,
        };
        located(failure, &path, &self.dockerfile.name)
    }
}

fn directory(path: &Path) -> Result<PathBuf, Failure> {
    let found = path.canonicalize().and_then(|full| Ok((fs::metadata(&full)?.is_dir(), full)));
    match found {
        Ok((true, full)) => Ok(full),
        Ok((false, _)) => Err(usage(format!("the build context {} is no directory", path.display()))
            .next("name the directory that holds what the Dockerfile copies, such as .")),
        Err(error) => Err(usage(format!("the build context {}: {error}", path.display()))
            .next("name an existing directory, such as .")),
    }
}

/// Adds the lines at fault, where the engine did not tell them.
fn located(mut failure: Failure, path: &Path, name: &str) -> Failure {
    if failure.excerpt.is_none() && failure.kind == FailureKind::Build {
        failure.excerpt = fs::read_to_string(path).ok().and_then(|text| excerpt::find(&failure, name, &text));
    }
    failure
}
