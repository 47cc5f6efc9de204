//! Where the Dockerfile is.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    archive::{self, Kind},
    usage,
};
use crate::model::Failure;

/// Bytes of a Dockerfile on standard input at most.
const LARGEST: u64 = 16 << 20;

/// A Dockerfile, which may lie outside the context: its own directory is served for it.
pub(super) struct Dockerfile {
    /// None where it is within a context that the engine fetches.
    pub(super) directory: Option<PathBuf>,
    /// Its name there, or its path within that context.
    pub(super) name: String,
    /// What came on standard input lies here, and is gone with it.
    pub(super) _read: Option<TempDir>,
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
    Ok(Dockerfile { directory: Some(directory), name: name.to_owned(), _read: None })
}

/// That of a context which the engine fetches: within it, unless it is standard input, or named by an absolute path.
pub(super) fn find_for_remote(file: Option<&Path>) -> Result<Dockerfile, Failure> {
    match file {
        Some(path) if path == Path::new("-") || path.is_absolute() => find(Path::new("."), file),
        _ => within(file),
    }
}

/// That of a context which the engine fetches, by its path there.
pub(super) fn within(file: Option<&Path>) -> Result<Dockerfile, Failure> {
    let name = file.unwrap_or(Path::new("Dockerfile")).to_str();
    let name = name.ok_or_else(|| usage("-f: the name of the Dockerfile is not UTF-8"))?;
    Ok(Dockerfile { directory: None, name: name.to_owned(), _read: None })
}

impl Dockerfile {
    /// Where the client has it.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(&self.name))
    }
}

/// The engine asks for a directory: it lies in one that nobody else reads, until the build is over.
fn read(input: impl io::Read) -> Result<Dockerfile, Failure> {
    let mut text = Vec::new();
    let cannot = |error: io::Error| {
        usage(format!("the Dockerfile on standard input: {error}")).next("write it to a file, and name that with -f")
    };
    input.take(LARGEST + 1).read_to_end(&mut text).map_err(cannot)?;
    let problem = match text.as_slice() {
        text if text.len() as u64 > LARGEST => "it is larger than 16 MiB",
        text => match archive::kind(&text[..text.len().min(archive::HEAD)]) {
            Kind::Nothing => "nothing came",
            Kind::Text => "",
            Kind::Binary => "it is no text",
            _ => "it is an archive, which is a context and no Dockerfile",
        },
    };
    if !problem.is_empty() {
        return Err(usage(format!("the Dockerfile on standard input: {problem}"))
            .next("redirect it, as in: remora build -f - . <Dockerfile"));
    }
    let all = tempfile::Builder::new().prefix("remora-").tempdir().map_err(cannot)?;
    let path = all.path().canonicalize().map_err(cannot)?;
    let directory = path.join("dockerfile");
    fs::create_dir(&directory).and_then(|()| fs::create_dir(path.join(CONTEXT))).map_err(cannot)?;
    fs::write(directory.join("Dockerfile"), &text).map_err(cannot)?;
    Ok(Dockerfile { directory: Some(directory), name: "Dockerfile".to_owned(), _read: Some(all) })
}

/// Beside the Dockerfile, and empty.
const CONTEXT: &str = "context";

/// A Dockerfile on standard input that needs no context, and an empty one.
pub(super) fn alone(input: impl io::Read) -> Result<(PathBuf, Dockerfile), Failure> {
    let dockerfile = read(input)?;
    let context = dockerfile.directory.as_deref().unwrap_or(Path::new("")).with_file_name(CONTEXT);
    Ok((context, dockerfile))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_dockerfile_on_standard_input_is_gone_after_the_build() {
        let dockerfile = read(&b"FROM scratch\n"[..]).unwrap();
        let path = dockerfile.path().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "FROM scratch\n");
        drop(dockerfile);
        assert!(!path.exists());
        let told = |text: &[u8]| read(text).err().map(|failure| failure.what).unwrap_or_default();
        assert!(told(b"").contains("nothing came"));
        assert!(told(b"\x1f\x8b\x08").contains("an archive"));
        let (context, dockerfile) = alone(&b"FROM scratch\n"[..]).unwrap();
        assert_eq!(fs::read_dir(&context).unwrap().count(), 0, "what is built sees nothing of the Dockerfile");
        assert!(dockerfile.path().unwrap().is_file());
    }
}
