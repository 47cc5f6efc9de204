//! What a CI makes folds of, and which of its words a log must not say.

use std::time::{SystemTime, UNIX_EPOCH};

use anstyle::Style;

use crate::model::StepId;

/// Those whose logs have something of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Ci {
    GitLab,
    GitHub,
    Buildkite,
    Jenkins,
    Other,
}

impl Ci {
    /// By the variables that each sets.
    pub(in crate::cli) fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        const TOLD_BY: &[(&str, Ci)] = &[
            ("GITLAB_CI", Ci::GitLab),
            ("GITHUB_ACTIONS", Ci::GitHub),
            ("BUILDKITE", Ci::Buildkite),
            ("JENKINS_URL", Ci::Jenkins),
            ("CIRCLECI", Ci::Other),
            ("CI", Ci::Other),
        ];
        let set = |name: &str| variable(name).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        TOLD_BY.iter().find(|(name, _)| set(name)).map(|(_, ci)| *ci)
    }

    /// Whether its log shows colours. Jenkins needs a plugin for it, and TERM does not tell: containers have it too.
    pub(in crate::cli) fn renders_colours(self) -> bool {
        match self {
            Self::GitLab | Self::GitHub | Self::Buildkite => true,
            Self::Jenkins | Self::Other => false,
        }
    }
}

/// Folds of one CI.
pub(in crate::cli) struct Marks {
    ci: Ci,
    /// Of this process: a job may build more than once.
    unique: String,
    clock: fn() -> u64,
    /// GitHub takes no commands at present.
    stopped: bool,
}

impl Marks {
    pub(in crate::cli) fn new(ci: Ci) -> Self {
        Self { ci, unique: uuid::Uuid::new_v4().simple().to_string(), clock: now, stopped: false }
    }

    #[cfg(test)]
    pub(super) fn fixed(ci: Ci) -> Self {
        Self { ci, unique: "u".to_owned(), clock: || 1_700_000_000, stopped: false }
    }

    /// The line that begins a step's block. What is `folded` can be opened by a person.
    ///
    /// GitLab: <https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections>. GitHub:
    /// <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>, which folds each group.
    /// Buildkite: <https://buildkite.com/docs/pipelines/configure/managing-log-output>.
    pub(super) fn begin(&mut self, id: StepId, title: &str, folded: bool, style: Style) -> String {
        let resume = self.resume();
        let text = format!("{style}{title}{style:#}");
        match self.ci {
            Ci::GitLab => {
                let option = if folded { "[collapsed=true]" } else { "" };
                format!("\x1b[0Ksection_start:{}:{}{option}\r\x1b[0K{text}\n", (self.clock)(), self.section(id))
            }
            // A command must be at the line's start.
            Ci::GitHub => format!("{resume}::group::{}\n", escaped(title)),
            Ci::Buildkite => format!("{} {text}\n", if folded { "---" } else { "+++" }),
            Ci::Jenkins | Ci::Other => format!("{text}\n"),
        }
    }

    pub(super) fn end(&mut self, id: StepId) -> String {
        let resume = self.resume();
        match self.ci {
            Ci::GitLab => format!("\x1b[0Ksection_end:{}:{}\r\x1b[0K\n", (self.clock)(), self.section(id)),
            Ci::GitHub => format!("{resume}::endgroup::\n"),
            // A group ends where the next begins.
            Ci::Buildkite | Ci::Jenkins | Ci::Other => String::new(),
        }
    }

    /// What a line outside of blocks begins with.
    pub(super) fn single(&self) -> &'static str {
        if self.ci == Ci::Buildkite { "--- " } else { "" }
    }

    /// The block that ended last is to be seen.
    pub(super) fn unfold(&self) -> &'static str {
        if self.ci == Ci::Buildkite { "^^^ +++\n" } else { "" }
    }

    /// What comes next is no step's.
    pub(super) fn finish(&mut self) -> String {
        let resume = self.resume();
        if self.ci == Ci::Buildkite { "+++ remora\n".to_owned() } else { resume }
    }

    /// What has to come before a line that the CI would obey, such as `::add-mask::` or `##[group]`: see the runner's
    /// `ActionCommand.cs`.
    pub(super) fn guard(&mut self, line: &[u8], guard: impl FnOnce(&[u8])) {
        if self.ci == Ci::GitHub && !self.stopped && is_command(line) {
            self.stopped = true;
            guard(format!("::stop-commands::{}\n", self.unique).as_bytes());
        }
    }

    /// Commands are ours again.
    pub(super) fn resume(&mut self) -> String {
        if std::mem::take(&mut self.stopped) { format!("::{}::\n", self.unique) } else { String::new() }
    }

    fn section(&self, id: StepId) -> String {
        format!("remora_{}_{id}", self.unique)
    }
}

/// Text that its reader does not take commands from.
pub(in crate::cli) fn harmless(ci: Option<Ci>, text: String) -> String {
    if ci != Some(Ci::GitHub) || !text.lines().any(|line| is_command(line.as_bytes())) {
        return text;
    }
    let token = uuid::Uuid::new_v4().simple();
    format!("::stop-commands::{token}\n{text}::{token}::\n")
}

/// Whether GitHub's runner would look for a command in it.
fn is_command(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    match text.first() {
        Some(b':') if text.starts_with(b"::") => true,
        // It trims more than ASCII knows.
        Some(128..) if String::from_utf8_lossy(text).trim_start().starts_with("::") => true,
        _ => memchr::memmem::find(text, b"##[").is_some(),
    }
}

/// As the data of a command.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_wrapped_where_a_line_of_it_would_be_obeyed() {
        let quiet = "a\n".to_owned();
        assert_eq!(harmless(Some(Ci::GitHub), quiet.clone()), quiet);
        let loud = "a\n  ::error::b\n".to_owned();
        assert_eq!(harmless(Some(Ci::GitLab), loud.clone()), loud);
        let wrapped = harmless(Some(Ci::GitHub), loud.clone());
        let (first, rest) = wrapped.split_once('\n').unwrap();
        let token = first.strip_prefix("::stop-commands::").unwrap();
        assert_eq!(rest, format!("{loud}::{token}::\n"));
    }

    #[test]
    fn a_line_that_github_would_obey_is_known() {
        for command in ["::add-mask::x", "  ::error::x", "\u{a0}::error::x", "a ##[group]b"] {
            assert!(is_command(command.as_bytes()), "{command}");
        }
        for other in ["std::fmt::Display", "# # [", "", "a ::b::"] {
            assert!(!is_command(other.as_bytes()), "{other}");
        }
    }
}
