//! Failure > what a person reads, and the exit code.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use super::{progress::Choice, text};
use crate::model::{Excerpt, Failure, FailureKind};

/// 128 and the number of SIGINT.
pub(super) const INTERRUPTED: u8 = 130;
/// 128 and the number of SIGTERM.
pub(super) const TERMINATED: u8 = 143;

/// The exit codes are an interface: scripts and CI rules depend on them. They stand in `--help` and in README.
fn code(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Build => 1,
        FailureKind::Usage | FailureKind::NotFound => 2,
        FailureKind::Agent | FailureKind::Lost | FailureKind::Busy => 10,
        FailureKind::Engine => 11,
        FailureKind::Registry => 12,
        FailureKind::Policy => 13,
        FailureKind::Internal => 70,
        FailureKind::Cancelled => INTERRUPTED,
    }
}

/// What failed of several things, each of which is done whatever becomes of the others.
#[derive(Default)]
pub(super) struct Failures(Option<Failure>);

impl Failures {
    /// Takes note of one, with the agent's name where there are several. All but the worst are told at once.
    pub(super) fn add(&mut self, agent: Option<&str>, failure: Failure) {
        let named = match agent {
            Some(agent) => Failure { what: format!("{agent}: {}", failure.what), ..failure },
            None => failure,
        };
        let Some(other) = self.0.take() else { return self.0 = Some(named) };
        let (worst, told) = if code(named.kind) > code(other.kind) { (named, other) } else { (other, named) };
        text::notice(&format!("error: {told}"));
        self.0 = Some(worst);
    }

    /// The worst: that with the highest exit code.
    pub(super) fn end(self) -> Result<(), Failure> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Says what failed, where, and what to do next.
pub(super) fn report(failure: &Failure) -> ExitCode {
    eprint_raw(&told(failure));
    ExitCode::from(code(failure.kind))
}

fn told(failure: &Failure) -> String {
    let mut lines = String::new();
    if !failure.log.is_empty() {
        lines.push_str("\nThe step's last lines:\n");
        for line in &failure.log {
            let _ = writeln!(lines, "  {line}");
        }
    }
    if let Some(excerpt) = &failure.excerpt {
        lines.push_str(&marked(excerpt));
    }
    let _ = writeln!(lines, "remora: error: {}", failure.what.trim_end());
    if !failure.next.is_empty() {
        let _ = writeln!(lines, "remora: next: {}", failure.next);
    }
    Choice::harmless(&lines)
}

fn marked(excerpt: &Excerpt) -> String {
    let mut text = if excerpt.from_line == excerpt.to_line {
        format!("\n{}:{}\n", excerpt.file, excerpt.from_line)
    } else {
        format!("\n{}:{}-{}\n", excerpt.file, excerpt.from_line, excerpt.to_line)
    };
    for (number, line) in (excerpt.first_line..).zip(&excerpt.lines) {
        let mark = if (excerpt.from_line..=excerpt.to_line).contains(&number) { ">>>" } else { "   " };
        let _ = writeln!(text, "{number:5} {mark} {line}");
    }
    text
}

fn eprint_raw(lines: &str) {
    use std::io::Write as _;
    drop(std::io::stderr().lock().write_all(lines.as_bytes()));
}

/// What the last words may take, to somebody who does not read.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A signal ended it.
pub(super) async fn interrupted(what: &str, becomes: &str, code: u8) -> ExitCode {
    let words = format!("{what}: {becomes}");
    let said = tokio::task::spawn_blocking(move || text::notice(&words));
    drop(tokio::time::timeout(LAST_WORDS, said).await);
    ExitCode::from(code)
}

/// Something that only a defect explains.
pub(super) fn internal(error: &dyn std::error::Error) -> ExitCode {
    report(&Failure::new(FailureKind::Internal, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_the_documented_one() {
        use FailureKind as K;
        let kinds = [K::Build, K::Usage, K::NotFound, K::Agent, K::Lost, K::Busy, K::Engine, K::Registry, K::Policy];
        assert_eq!(kinds.map(code), [1, 2, 2, 10, 10, 10, 11, 12, 13]);
        assert_eq!([K::Internal, K::Cancelled].map(code), [70, 130]);
    }

    #[test]
    fn a_failure_moves_no_cursor_and_ends_no_section() {
        let evil = "\x1b[0Ksection_end:1:a\r\x1b[0K\x1b]0;title\x07\u{9b}2J";
        let failure = Failure {
            log: vec![format!("\x1b[31mred{evil}")],
            excerpt: Some(Excerpt {
                file: format!("Dockerfile{evil}"),
                first_line: 1,
                lines: vec![format!("\tRUN a{evil}")],
                from_line: 1,
                to_line: 1,
            }),
            ..Failure::new(FailureKind::Build, format!("what{evil}\nmore")).next(format!("next{evil}"))
        };
        let clean = "section_end:1:a2J";
        let wanted = format!(
            "\nThe step's last lines:\n  red{clean}\n\nDockerfile{clean}:1\n    1 >>> \tRUN a{clean}\n\
             remora: error: what{clean}\nmore\nremora: next: next{clean}\n"
        );
        assert_eq!(told(&failure), wanted);
    }

    #[test]
    fn an_excerpt_marks_its_lines() {
        let excerpt = Excerpt {
            file: "Dockerfile".to_owned(),
            first_line: 2,
            lines: vec!["FROM base".to_owned(), "RUN false".to_owned()],
            from_line: 3,
            to_line: 3,
        };
        assert_eq!(marked(&excerpt), "\nDockerfile:3\n    2     FROM base\n    3 >>> RUN false\n");
    }
}
