//! `remora build`.

use std::{fs, io, path::Path, process::ExitCode};

use super::{
    answer,
    args::{Build, Connection, Told},
    ask::{Asked, Call},
    metadata, summary, text, usage,
};
use crate::model::Failure;

pub(super) async fn build(connection: &Connection, args: Build) -> Result<ExitCode, Failure> {
    let (iidfile, digest_file) = (args.iidfile.clone(), args.digest_file.clone());
    let metadata_file = args.metadata_file.clone();
    let (quiet, silent) = (args.is_quiet(), matches!(args.progress, Told::None | Told::Rawjson));
    let call = args.call.asked();
    let dockerfile = answer::dockerfile(&args.context, args.file.as_deref());
    let asked = Asked::new(args)?;
    if call.subrequest.is_none() {
        let files = [("--iidfile", &iidfile), ("--digest-file", &digest_file), ("--metadata-file", &metadata_file)];
        for (flag, path) in files {
            path.as_ref().map_or(Ok(()), |path| remove(flag, path))?;
        }
    }
    let report = asked.ask(connection, Call::Build).await?;
    if let Some(answer) = &report.answer {
        return answer::tell(answer, call, &dockerfile);
    }
    if let Some(path) = &iidfile {
        if report.image_id.is_empty() {
            return Err(usage("--iidfile: the build worked, and made no image that could have an id")
                .next("use --push: this engine keeps no images"));
        }
        write(path, &report.image_id)?;
    }
    if let Some(path) = &digest_file {
        if report.digest.is_empty() {
            return Err(usage("--digest-file: the build worked, and nothing has the digest of its manifest")
                .next("use --push: it is the registry that tells it"));
        }
        write(path, &report.digest)?;
    }
    if let Some(path) = &metadata_file {
        write(path, &metadata::metadata(&report))?;
    }
    if quiet && !report.image_id.is_empty() {
        text::data(&report.image_id);
    } else if !quiet && !silent {
        summary::summary(&report);
    }
    Ok(ExitCode::SUCCESS)
}

/// What an earlier build wrote must not be taken for this one's. Links and devices are written through, not removed.
pub(super) fn remove(flag: &str, path: &Path) -> Result<(), Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        usage(format!("{flag}: {} cannot be written: {error}", path.display())).next("name another file")
    };
    match fs::symlink_metadata(path) {
        Ok(file) if file.is_file() => fs::remove_file(path).map_err(|e| cannot(&e)),
        Ok(file) if file.is_dir() => Err(cannot(&"it is a directory")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot(&error)),
        Err(_) => match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) if !parent.is_dir() => Err(cannot(&"its directory does not exist")),
            _ => Ok(()),
        },
    }
}

pub(super) fn write(path: &Path, content: &str) -> Result<(), Failure> {
    // Opened by these names a log would begin anew, and a socket cannot be.
    let written = match path.to_str() {
        Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => through(io::stdout().lock(), content),
        Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => through(io::stderr().lock(), content),
        _ => fs::write(path, content),
    };
    written.map_err(|e| {
        usage(format!("it worked, and {} cannot be written: {e}", path.display())).next("name another file")
    })
}

fn through(mut stream: impl io::Write, content: &str) -> io::Result<()> {
    stream.write_all(content.as_bytes())?;
    stream.flush()
}
