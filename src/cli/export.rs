//! Where the result goes, by `--push`, `--load` and `-o`, and the file that takes an archive.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, IsTerminal as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};
use tempfile::NamedTempFile;

use super::{
    args::{Build, Goal, Output},
    usage,
};
use crate::{
    model::{Export, Failure, Reference},
    session::{Sink, Taker},
};

/// Where the result goes.
#[derive(Default)]
pub(super) struct Destination {
    pub(super) export: Export,
    /// How it is made.
    pub(super) options: BTreeMap<String, String>,
    pub(super) place: Option<Place>,
    pub(super) push: bool,
    pub(super) load: bool,
    /// Names beside those of `-t`.
    pub(super) names: Vec<Reference>,
}

/// What takes an export.
pub(super) enum Place {
    /// This file.
    File(PathBuf),
    /// What is below this directory.
    Directory(PathBuf),
    /// What has no name to get, such as a pipe: what is written is written. Opened once: who reads a pipe takes its being
    /// closed for the end.
    Through(Sink),
}

/// What takes an export, begun.
#[derive(Default)]
pub(super) struct Taken {
    /// A file, and the name that it gets. Unless it is kept it is gone with this.
    file: Option<(NamedTempFile, PathBuf)>,
    through: Option<Sink>,
}

impl Destination {
    pub(super) fn of(args: &Build) -> Result<Self, Failure> {
        let plain = Self { push: args.push, load: args.load, ..Self::default() };
        let Output { goal, names, options } = match args.output.as_slice() {
            [] => return Ok(plain),
            [output] => output.clone(),
            _ => {
                return Err(
                    usage("-o: one result at a time").next("build once for each: the second time every step is cached")
                );
            }
        };
        let plain = Self { options, names, ..plain };
        Ok(match goal {
            Goal::Push => Self { push: true, ..plain },
            Goal::Load => Self { load: true, ..plain },
            Goal::Export(..) if args.push || args.load => {
                return Err(usage("-o: what is exported is no image that could be pushed or loaded")
                    .next("build twice, once for each: the second time every step is cached"));
            }
            Goal::Export(..) if args.iidfile.is_some() => {
                return Err(usage("--iidfile: what is exported has no id").next("leave it out"));
            }
            Goal::Export(Export::Tar | Export::Local | Export::CacheOnly, _) if args.digest_file.is_some() => {
                return Err(usage("--digest-file: what is exported has no manifest").next("leave it out"));
            }
            Goal::Export(Export::CacheOnly, _) => Self { export: Export::CacheOnly, ..plain },
            Goal::Export(_, None) if args.is_quiet() => {
                return Err(usage("-o: the archive goes to standard output, and the id that -q prints as well")
                    .next("leave -q out (--progress none is silent too), or name a file with dest=FILE"));
            }
            Goal::Export(_, None) if io::stdout().is_terminal() => {
                return Err(usage("-o: the archive goes to standard output, which is a terminal")
                    .next("name a file with dest=FILE, or redirect"));
            }
            Goal::Export(export, None) => {
                Self { export, place: Some(Place::Through(Sink::new(tokio::io::stdout()))), ..plain }
            }
            Goal::Export(Export::Local, Some(path)) => {
                check(&path).map_err(|error| {
                    usage(format!("-o: the directory {} cannot be written: {error}", path.display()))
                        .next("name another directory")
                })?;
                Self { export: Export::Local, place: Some(Place::Directory(path)), ..plain }
            }
            Goal::Export(export, Some(path)) => Self { export, place: Some(Place::File(path)), ..plain },
        })
    }
}

impl Place {
    /// Begins the file.
    pub(super) fn open(&mut self) -> Result<(Taken, Taker), Failure> {
        let sink = match self {
            Self::Directory(path) => return Ok((Taken::default(), Taker::Directory(path.clone()))),
            Self::Through(sink) => sink.clone(),
            Self::File(path) => {
                let (begun, file) = Self::begin(path).map_err(|error| {
                    usage(format!("-o: {} cannot be written: {error}", path.display())).next("name another file")
                })?;
                let sink = Sink::new(tokio::fs::File::from_std(begun));
                if file.is_some() {
                    return Ok((Taken { file, through: None }, Taker::Archive(sink)));
                }
                sink
            }
        };
        *self = Self::Through(sink.clone());
        Ok((Taken { file: None, through: Some(sink.clone()) }, Taker::Archive(sink)))
    }

    /// What is written to, and what gets the name in the end: nobody takes a part of an archive for it.
    fn begin(path: &Path) -> io::Result<(fs::File, Option<(NamedTempFile, PathBuf)>)> {
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => return Err(io::Error::other("it is a directory")),
            // Pipes and devices are written through.
            Ok(there) if !there.is_file() => return Ok((fs::File::options().write(true).open(path)?, None)),
            _ => {}
        }
        // Of a link, what it leads to.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let begun = tempfile::Builder::new()
            .prefix(".remora-")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(directory)?;
        Ok((begun.reopen()?, Some((begun, path))))
    }
}

/// Whether files can be made in a directory, or where it is to be made. It is made when there is something for it.
fn check(path: &Path) -> io::Result<()> {
    let there = path.ancestors().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    for above in there {
        match fs::metadata(above) {
            Ok(found) if !found.is_dir() => return Err(io::Error::other(format!("{} is a file", above.display()))),
            Ok(_) => return Ok(access(above, Access::WRITE_OK | Access::EXEC_OK)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Taken {
    /// Whether a part of it was written that another archive cannot replace.
    pub(super) fn is_spent(&self) -> bool {
        self.through.as_ref().is_some_and(Sink::has_begun)
    }

    /// The archive is whole: it gets its name.
    pub(super) fn keep(self) -> Result<(), Failure> {
        let Some((begun, path)) = self.file else { return Ok(()) };
        let kept = begun.persist(&path).map(drop);
        kept.map_err(|error| {
            usage(format!("it worked, and {} cannot be written: {}", path.display(), error.error))
                .next("name another file")
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn who_reads_a_pipe_gets_what_the_second_agent_sends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let _reader = fs::File::options().read(true).write(true).open(&path).unwrap();
        let mut place = Place::File(path.clone());
        drop(place.open().unwrap());
        fs::remove_file(path).unwrap();
        let (taken, _) = place.open().unwrap();
        assert!(taken.through.is_some() && !taken.is_spent(), "it is opened once, and was not closed in between");
    }
}
