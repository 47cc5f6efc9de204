//! What the Dockerfile's frontend was asked, told as Docker tells it, and the exit code that it comes to.

use std::{
    path::{Component, Path, PathBuf},
    process::ExitCode,
};

use serde::Deserialize;

use super::{args::Asked, text};
use crate::model::{Answer, ContextKind, Excerpt, Failure, FailureKind, Subrequest};

/// What a linter found, as far as it is not told in the text.
#[derive(Deserialize, Default)]
struct Linted {
    #[serde(default)]
    warnings: Option<Vec<serde::de::IgnoredAny>>,
    #[serde(default)]
    sources: Option<Vec<Source>>,
    #[serde(rename = "buildError")]
    error: Option<BuildError>,
}

#[derive(Deserialize)]
struct Source {
    filename: String,
    /// base64
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct BuildError {
    message: String,
    #[serde(default)]
    location: Location,
}

#[derive(Deserialize, Default)]
struct Location {
    #[serde(default, rename = "sourceIndex")]
    source: usize,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    line: u32,
}

/// What the Dockerfile is called before a person: as it was named, or by its context.
pub(super) fn dockerfile(context: &Path, file: Option<&Path>) -> PathBuf {
    match file {
        Some(file) if file != Path::new("-") => file.to_owned(),
        Some(_) => PathBuf::from("stdin"),
        None => match ContextKind::of(&context.to_string_lossy(), context.is_dir()) {
            ContextKind::Stdin => PathBuf::from("stdin"),
            // A path within what the engine fetches; the URL may have credentials.
            ContextKind::Git | ContextKind::Url => PathBuf::from("Dockerfile"),
            ContextKind::Directory => {
                let inside = context.join("Dockerfile");
                inside.components().filter(|part| *part != Component::CurDir).collect()
            }
        },
    }
}

/// Tells it. A linter's finding is exit code 1.
///
/// # Errors
/// The Dockerfile cannot be read as one.
pub(super) fn tell(answer: &Answer, asked: Asked, dockerfile: &Path) -> Result<ExitCode, Failure> {
    let linted = match asked.subrequest {
        Some(Subrequest::Lint) => serde_json::from_str(&answer.json).unwrap_or_default(),
        _ => Linted::default(),
    };
    let found = linted.warnings.as_ref().map_or(0, Vec::len);
    if asked.json {
        text::data(&answer.json);
    } else if asked.subrequest == Some(Subrequest::Lint) {
        match found {
            0 if linted.error.is_some() => {}
            0 => text::data("Check complete, no warnings found."),
            1 => text::data("Check complete, 1 warning has been found!"),
            _ => text::data(&format!("Check complete, {found} warnings have been found!")),
        }
        text::raw(&linted.named(&answer.text, dockerfile));
        if found > 0 && linted.error.is_some() {
            text::data("");
        }
    } else {
        text::raw(&answer.text);
    }
    if let Some(failure) = linted.failure() {
        return Err(failure);
    }
    let status = if asked.ignore_status { 0 } else { u8::try_from(answer.status).unwrap_or(1) };
    Ok(ExitCode::from(status))
}

impl Linted {
    /// The findings with the Dockerfile as a person knows it, where the frontend knows its last name alone.
    fn named(&self, text: &str, dockerfile: &Path) -> String {
        let known: Vec<_> = self.sources.iter().flatten().map(|source| source.filename.as_str()).collect();
        let rename = |line: &str| match line.trim_end().rsplit_once(':') {
            Some((name, number)) if known.contains(&name) && number.parse::<u32>().is_ok() => {
                format!("{}:{number}\n", dockerfile.display())
            }
            _ => line.to_owned(),
        };
        text.split_inclusive('\n').map(rename).collect()
    }

    fn failure(self) -> Option<Failure> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        const AROUND: u32 = 3;
        let BuildError { message, location } = self.error?;
        let mut failure = Failure::new(FailureKind::Build, message);
        let source = self.sources.unwrap_or_default().into_iter().nth(location.source);
        let range = location.ranges.first();
        if let (Some(Source { filename, data }), Some(Range { start, end })) = (source, range) {
            let content = STANDARD.decode(data).unwrap_or_default();
            let (from, to) = (start.line, end.line.max(start.line));
            let first = from.saturating_sub(AROUND).max(1);
            let content = String::from_utf8_lossy(&content);
            let shown = content.lines().skip(first as usize - 1).take((to.saturating_add(AROUND) - first) as usize + 1);
            let lines = shown.map(str::to_owned).collect();
            failure.excerpt = Some(Excerpt { file: filename, first_line: first, lines, from_line: from, to_line: to });
        }
        Some(failure)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_dockerfile_is_called_as_it_was_named() {
        let name = |context: &str, file: Option<&str>| dockerfile(Path::new(context), file.map(Path::new));
        assert_eq!(name(".", None), Path::new("Dockerfile"));
        assert_eq!(name("./app/", None), Path::new("app/Dockerfile"));
        assert_eq!(name("app", Some("other/File")), Path::new("other/File"));
        assert_eq!((name("app", Some("-")), name("-", None)), ("stdin".into(), "stdin".into()));
        assert_eq!(name("https://token@git.example/app.git#main:sub", None), Path::new("Dockerfile"));
        let linted: Linted = serde_json::from_str(r#"{"sources": [{"filename": "Dockerfile"}]}"#).unwrap();
        let text = "\nWARNING: x\nDockerfile:7\n----\n   7 | >>> FROM a:1\n";
        let named = linted.named(text, Path::new("app/Dockerfile"));
        assert_eq!(named, "\nWARNING: x\napp/Dockerfile:7\n----\n   7 | >>> FROM a:1\n");
    }

    #[test]
    fn a_dockerfile_that_is_none_is_told_with_its_lines() {
        let linted: Linted = serde_json::from_str(
            r#"{"warnings": null, "sources": [{"filename": "Dockerfile", "data": "RlJPTSBhClJVTgpGT08K"}],
            "buildError": {"message": "unknown instruction: FOO",
            "location": {"ranges": [{"start": {"line": 3}, "end": {"line": 3}}]}}}"#,
        )
        .unwrap();
        let failure = linted.failure().unwrap();
        let excerpt = failure.excerpt.unwrap();
        assert_eq!(failure.what, "unknown instruction: FOO");
        assert_eq!((excerpt.first_line, excerpt.lines.len(), excerpt.from_line), (1, 3, 3));
    }
}
