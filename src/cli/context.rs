//! What the build context is, and where its Dockerfile lies.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    archive::{self, Kind},
    dockerfile::{self, Dockerfile},
    excerpt,
    fetched::Origin,
    ignored, lend, missing,
    named::Named,
    usage,
};
use crate::{
    model::{ContextKind, Failure, FailureKind},
    session::Upload,
};

/// How an archive comes on standard input.
const REDIRECT: &str = "write an archive to it, as in: tar -cz . | remora build -";

/// A build context.
pub(super) struct Context {
    /// The directory that is lent. None where the engine fetches the context.
    pub(super) directory: Option<PathBuf>,
    /// What the engine fetches.
    pub(super) remote: Option<String>,
    /// What it fetches from us.
    pub(super) upload: Option<Upload>,
    /// Where that is, to a person.
    origin: Option<Origin>,
    pub(super) dockerfile: Dockerfile,
    /// Further contexts.
    pub(super) named: Named,
}

impl Context {
    /// Finds the context that the argument names, with the Dockerfile that `-f` names.
    pub(super) fn find(path: &Path, file: Option<&Path>) -> Result<Self, Failure> {
        let text = path.to_string_lossy();
        match ContextKind::of(&text, path.is_dir()) {
            ContextKind::Directory => {
                let directory = directory(path)?;
                Ok(Self::lent(directory, dockerfile::find(path, file)?))
            }
            ContextKind::Stdin if file == Some(Path::new("-")) => {
                Err(usage("standard input cannot be both the context and the Dockerfile")
                    .next("name a directory as the context, or put the Dockerfile into the archive"))
            }
            ContextKind::Stdin => Self::read(io::stdin(), file),
            ContextKind::Git | ContextKind::Url => {
                let dockerfile = dockerfile::find_for_remote(file)?;
                let (origin, remote) = (Some(Origin::url(&text)), Some(text.into_owned()));
                Ok(Self { directory: None, remote, upload: None, origin, dockerfile, named: Named::default() })
            }
        }
    }

    fn lent(directory: PathBuf, dockerfile: Dockerfile) -> Self {
        Self {
            directory: Some(directory),
            remote: None,
            upload: None,
            origin: None,
            dockerfile,
            named: Named::default(),
        }
    }

    /// What comes on standard input: an archive, or a Dockerfile that needs no context.
    fn read(mut input: impl Read + Send + 'static, file: Option<&Path>) -> Result<Self, Failure> {
        let (kind, head) = archive::peek(&mut input)
            .map_err(|error| usage(format!("standard input: {error}")).next("name a directory as the context"))?;
        let refused = |problem, next| Err(usage(format!("the context on standard input: {problem}")).next(next));
        let before = match kind {
            Kind::Archive | Kind::Xz => Vec::new(),
            Kind::TarWithRecords => archive::comment(),
            Kind::Text if file.is_some() => {
                return refused("it is a Dockerfile, and -f names another one", "leave -f out, or name a directory");
            }
            Kind::Text => {
                let (directory, dockerfile) = dockerfile::alone(io::Cursor::new(head).chain(input))?;
                return Ok(Self::lent(directory, dockerfile));
            }
            Kind::Nothing => return refused("nothing came", REDIRECT),
            Kind::Empty => return refused("the archive holds no file", REDIRECT),
            Kind::Binary => return refused("it is no archive and no text", REDIRECT),
            Kind::Zstd => return refused("engines do not unpack zstd", "unpack it: zstd -dc FILE | remora build -"),
        };
        let upload = Upload::new(&lend::random()?, io::Cursor::new([before, head].concat()).chain(input));
        let (remote, origin) = (Some(upload.url()), Some(Origin::stdin(kind == Kind::Xz)));
        let dockerfile = dockerfile::within(file)?;
        Ok(Self { directory: None, remote, upload: Some(upload), origin, dockerfile, named: Named::default() })
    }

    /// The same with further contexts.
    pub(super) fn with(self, named: Named) -> Self {
        Self { named, ..self }
    }

    /// Bytes that the engine took of standard input.
    pub(super) fn uploaded(&self) -> u64 {
        self.upload.as_ref().map_or(0, Upload::sent)
    }

    /// Whether no other engine can have what is on standard input.
    pub(super) fn is_spent(&self) -> bool {
        self.upload.as_ref().is_some_and(Upload::is_taken)
    }

    /// With what the context tells of it.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let failure = self.named.explain(failure);
        let failure = match &self.origin {
            Some(origin) => origin.explain(failure, &self.dockerfile.name),
            None => failure,
        };
        let Some(path) = self.dockerfile.path() else { return failure };
        let failure = match &self.directory {
            Some(directory) => missing::explain(ignored::explain(failure, directory, &path), directory, &path),
            None => failure,
        };
        located(failure, &path, &self.dockerfile.name)
    }
}

fn directory(path: &Path) -> Result<PathBuf, Failure> {
    readable(path).map_err(|error| {
        usage(format!("the build context {}: {error}", path.display()))
            .next("name an existing directory that you may read, such as .")
    })
}

/// The full path of a directory that can be read.
pub(super) fn readable(path: &Path) -> io::Result<PathBuf> {
    let full = path.canonicalize()?;
    fs::read_dir(&full)?;
    Ok(full)
}

/// Adds the lines at fault, where the engine did not tell them.
fn located(mut failure: Failure, path: &Path, name: &str) -> Failure {
    if failure.excerpt.is_none() && failure.kind == FailureKind::Build {
        failure.excerpt = fs::read_to_string(path).ok().and_then(|text| excerpt::find(&failure, name, &text));
    }
    failure
}
