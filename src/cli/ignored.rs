//! Finds the broken line of a `.dockerignore`, which the engine does not name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    model::{Failure, FailureKind},
    session::broken_pattern,
};

/// Names the broken line, where that is what failed.
pub(super) fn explain(failure: Failure, context: &Path, dockerfile: &Path) -> Failure {
    if !failure.what.contains("pattern") {
        return failure;
    }
    let path = ignore_file(context, dockerfile);
    let Ok(text) = fs::read(&path) else { return failure };
    let Some((line, problem)) = broken_line(&text) else { return failure };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Failure::new(FailureKind::Usage, format!("{name}:{line}: {problem}")).next("correct that line")
}

/// The Dockerfile's own ignore file wins over the context's.
pub(super) fn ignore_file(context: &Path, dockerfile: &Path) -> PathBuf {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    let own = PathBuf::from(own);
    if own.exists() { own } else { context.join(".dockerignore") }
}

fn broken_line(text: &[u8]) -> Option<(usize, String)> {
    let lines = (1..).zip(text.split(|&byte| byte == b'\n'));
    lines.filter(|(_, line)| !line.starts_with(b"#")).find_map(|(number, line)| Some((number, broken_pattern(line)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_broken_line_is_named() {
        assert_eq!(broken_line(b"# a[\na\n\n!b\r\n"), None);
        assert_eq!(broken_line(b"a\n[\n!\n").map(|(line, _)| line), Some(2));
        assert_eq!(broken_line(b"!").map(|(line, _)| line), Some(1));
    }
}
