//! Where the Dockerfile is.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::model::{Failure, FailureKind};

/// Bytes of a Dockerfile on standard input at most.
const LARGEST: u64 = 16 << 20;

/// A Dockerfile, which may lie outside the context: its own directory is served for it.
pub(super) struct Dockerfile {
    pub(super) directory: PathBuf,
    pub(super) name: String,
    /// What came on standard input lies here, and is gone with it.
    pub(super) read: Option<TempDir>,
}

/// The file that is named, or the context's; `-` is standard input.
pub(super) fn find(context: &Path, file: Option<&Path>) -> Result<Dockerfile, Failure> {
    if file == Some(Path::new("-")) {
        return read(io::stdin().lock());
    }
    let path = match file {
        Some(file) => file.to_owned(),
        None => context.join("Dockerfile"),
    };
    let problem = |error: &dyn std::fmt::Display| {
        usage(format!("the Dockerfile {}: {error}", path.display())).next("name it with -f, relative to where you are")
    };
    // Looked at before it is opened: a pipe would wait for its writer.
    let found = fs::metadata(&path)
        .and_then(|file| if file.is_file() { fs::File::open(&path).map(|_| true) } else { Ok(false) });
    match found {
        Ok(true) => {}
        Ok(false) => return Err(problem(&"it is no file").next("pass its text with -f - and a redirection")),
        // The frontend takes this spelling as well.
        Err(error)
            if file.is_none() && error.kind() == io::ErrorKind::NotFound && context.join("dockerfile").is_file() => {}
        Err(error) => return Err(problem(&error)),
    }
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| problem(&"its name is not UTF-8"))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = directory.canonicalize().map_err(|e| problem(&e))?;
    Ok(Dockerfile { directory, name: name.to_owned(), read: None })
}

/// The engine asks for a directory: it lies in one that nobody else reads, until the build is over.
fn read(input: impl io::Read) -> Result<Dockerfile, Failure> {
    let mut text = Vec::new();
    let cannot = |error: io::Error| {
        usage(format!("the Dockerfile on standard input: {error}")).next("write it to a file, and name that with -f")
    };
    input.take(LARGEST + 1).read_to_end(&mut text).map_err(cannot)?;
    if text.is_empty() || text.len() as u64 > LARGEST {
        let what = if text.is_empty() { "nothing came" } else { "it is larger than 16 MiB" };
        return Err(usage(format!("the Dockerfile on standard input: {what}"))
            .next("redirect it, as in: remora build -f - . <Dockerfile"));
    }
    let directory = tempfile::Builder::new().prefix("remora-").tempdir().map_err(cannot)?;
    fs::write(directory.path().join("Dockerfile"), &text).map_err(cannot)?;
    let path = directory.path().canonicalize().map_err(cannot)?;
    Ok(Dockerfile { directory: path, name: "Dockerfile".to_owned(), read: Some(directory) })
}

fn usage(what: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Usage, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_dockerfile_on_standard_input_is_gone_after_the_build() {
        let dockerfile = read(&b"FROM scratch\n"[..]).unwrap();
        let path = dockerfile.directory.join(&dockerfile.name);
        assert_eq!(fs::read_to_string(&path).unwrap(), "FROM scratch\n");
        drop(dockerfile);
        assert!(!path.exists());
        assert!(read(&b""[..]).is_err_and(|failure| failure.what.contains("nothing came")));
    }
}
