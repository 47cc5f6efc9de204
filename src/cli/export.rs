//! Where the result goes, by `--push`, `--load` and `-o`, and the file that takes an archive.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use super::args::{Build, Output};
use crate::{
    model::{Export, Failure, FailureKind, Reference},
    session::Sink,
};

/// Where the result goes.
pub(super) struct Destination {
    pub(super) export: Export,
    pub(super) place: Option<Place>,
    pub(super) push: bool,
    pub(super) load: bool,
    /// Names beside those of `-t`.
    pub(super) names: Vec<Reference>,
}

/// What takes an archive.
pub(super) enum Place {
    /// This file.
    File(PathBuf),
    /// Standard output.
    Out,
}

/// A file that was begun. Unless it is kept it is gone with this.
pub(super) struct Taken(Option<PathBuf>);

impl Destination {
    pub(super) fn of(args: &Build) -> Result<Self, Failure> {
        let plain = Self { export: Export::Image, place: None, push: args.push, load: args.load, names: Vec::new() };
        Ok(match args.output.clone() {
            None => plain,
            Some(Output::Push(names)) => Self { push: true, names, ..plain },
            Some(Output::Load(names)) => Self { load: true, names, ..plain },
            Some(Output::Export(..)) if args.push || args.load => {
                return Err(usage("-o: what is exported is no image that could be pushed or loaded")
                    .next("build twice, once for each: the second time every step is cached"));
            }
            Some(Output::Export(Export::CacheOnly, _)) => Self { export: Export::CacheOnly, ..plain },
            Some(Output::Export(_, None)) if args.quiet || io::stdout().is_terminal() => {
                return Err(usage("-o: an archive on standard output needs it for itself, and no terminal")
                    .next("name a file with dest=FILE, or redirect"));
            }
            Some(Output::Export(export, None)) => Self { export, place: Some(Place::Out), ..plain },
            Some(Output::Export(export, Some(path))) => Self { export, place: Some(Place::File(path)), ..plain },
        })
    }
}

impl Place {
    /// Begins the file.
    pub(super) async fn open(self) -> Result<(Taken, Sink), Failure> {
        match self {
            Self::Out => Ok((Taken(None), Sink::new(tokio::io::stdout()))),
            Self::File(path) => {
                // Pipes and devices are written through.
                let through = fs::metadata(&path).is_ok_and(|place| !place.is_file() && !place.is_dir());
                let begun = if through { path.clone() } else { beside(&path) };
                let mut options = tokio::fs::File::options();
                let file = options.write(true).create(!through).truncate(!through).open(&begun).await;
                let file = file.map_err(|error| {
                    usage(format!("-o: {} cannot be written: {error}", path.display())).next("name another file")
                })?;
                Ok((Taken(Some(path).filter(|_| !through)), Sink::new(file)))
            }
        }
    }
}

impl Taken {
    /// The archive is whole: it gets its name.
    pub(super) fn keep(mut self) -> Result<(), Failure> {
        let Some(path) = self.0.take() else { return Ok(()) };
        fs::rename(beside(&path), &path).map_err(|error| {
            usage(format!("it worked, and {} cannot be written: {error}", path.display())).next("name another file")
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            drop(fs::remove_file(beside(&path)));
        }
    }
}

/// Where the archive lies until it is whole: nobody takes a part of one for it.
fn beside(path: &std::path::Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

fn usage(what: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Usage, what)
}
