//! What is asked for, and what is on the other end > which display.

use std::io::IsTerminal as _;

use super::{
    super::args::Told,
    ci::{Ci, harmless},
    colour::{Colours, wanted},
};

/// Lines of a running step's output that a terminal shows, as with Docker.
const LOG_LINES: usize = 6;

/// A display, with what it is told.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Choice {
    /// Warnings alone.
    Warnings,
    Plain {
        colours: Colours,
    },
    Ci {
        ci: Ci,
        colours: Colours,
    },
    Tty {
        colours: Colours,
        /// Of each step that runs.
        log_lines: usize,
        /// At most so many columns, whatever the terminal says.
        columns: Option<u16>,
    },
    RawJson,
}

impl Choice {
    /// By this process' environment and standard error.
    pub(in crate::cli) fn of_process(told: Told) -> Self {
        Self::of(told, std::io::stderr().is_terminal(), |name| {
            std::env::var(name).ok().filter(|value| !value.is_empty())
        })
    }

    /// By these variables, of which none is empty.
    fn of(told: Told, terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let ci = Ci::of(&variable);
        let colours = |renders| {
            if wanted(terminal, renders, &variable) {
                Colours::of(variable("BUILDKIT_COLORS").as_deref().unwrap_or_default())
            } else {
                Colours::none()
            }
        };
        let told = match (told, ci) {
            (Told::Auto, Some(_)) => Told::Ci,
            (Told::Auto, None) if terminal => Told::Tty,
            // Lines that cannot be drawn over would only pile up.
            (Told::Tty, _) if !terminal => Told::Plain,
            (Told::Auto, None) => Told::Plain,
            (told, _) => told,
        };
        match told {
            Told::Quiet | Told::None => Self::Warnings,
            Told::Auto | Told::Plain => Self::Plain { colours: colours(false) },
            Told::Ci => {
                let ci = ci.unwrap_or(Ci::Other);
                Self::Ci { ci, colours: colours(ci.renders_colours()) }
            }
            Told::Tty => Self::Tty {
                colours: colours(false),
                log_lines: variable("BUILDKIT_TTY_LOG_LINES").and_then(|n| n.parse().ok()).unwrap_or(LOG_LINES),
                columns: variable("COLUMNS").and_then(|n| n.parse().ok()).filter(|n| *n > 0),
            },
            Told::Rawjson => Self::RawJson,
        }
    }

    /// This text as the log of this process' CI may have it.
    pub(in crate::cli) fn harmless(text: String) -> String {
        harmless(Ci::of(|name| std::env::var(name).ok()), text)
    }

    /// What it paints with.
    pub(super) fn colours(&self) -> Colours {
        match self {
            Self::Plain { colours } | Self::Ci { colours, .. } | Self::Tty { colours, .. } => *colours,
            Self::Warnings | Self::RawJson => Colours::none(),
        }
    }

    /// Whether the engine's own status is what is shown.
    pub(in crate::cli) fn raw(&self) -> bool {
        *self == Self::RawJson
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(told: Told, terminal: bool, variables: &[(&str, &str)]) -> Choice {
        Choice::of(told, terminal, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn chosen(told: Told, terminal: bool, variables: &[(&str, &str)]) -> &'static str {
        match choice(told, terminal, variables) {
            Choice::Warnings => "warnings",
            Choice::Plain { .. } => "plain",
            Choice::Ci { ci: Ci::GitLab, .. } => "gitlab",
            Choice::Ci { ci: Ci::GitHub, .. } => "github",
            Choice::Ci { ci: Ci::Buildkite, .. } => "buildkite",
            Choice::Ci { ci: Ci::Jenkins, .. } => "jenkins",
            Choice::Ci { ci: Ci::Other, .. } => "ci",
            Choice::Tty { .. } => "tty",
            Choice::RawJson => "rawjson",
        }
    }

    #[test]
    fn auto_takes_what_fits() {
        for (terminal, variables, wanted) in [
            (true, &[][..], "tty"),
            (false, &[], "plain"),
            (true, &[("CI", "true")], "ci"),
            (false, &[("CI", "false")], "plain"),
            (false, &[("GITLAB_CI", "true"), ("CI", "true")], "gitlab"),
            (false, &[("GITHUB_ACTIONS", "true"), ("CI", "true")], "github"),
            (false, &[("BUILDKITE", "true"), ("CI", "true")], "buildkite"),
            (false, &[("JENKINS_URL", "https://ci.example/")], "jenkins"),
            (false, &[("CIRCLECI", "true")], "ci"),
        ] {
            assert_eq!(chosen(Told::Auto, terminal, variables), wanted, "{variables:?}");
        }
    }

    #[test]
    fn what_is_asked_for_is_given() {
        let gitlab = &[("GITLAB_CI", "true")];
        assert_eq!(chosen(Told::Plain, true, gitlab), "plain");
        assert_eq!(chosen(Told::Tty, true, gitlab), "tty");
        assert_eq!(chosen(Told::Ci, true, &[]), "ci");
        assert_eq!(chosen(Told::Rawjson, true, gitlab), "rawjson");
        assert_eq!(chosen(Told::Quiet, true, gitlab), "warnings");
        assert_eq!(chosen(Told::Tty, false, &[]), "plain", "no cursor can be moved there");
    }

    #[test]
    fn colours_are_where_somebody_sees_them_and_wants_them() {
        let coloured =
            |terminal, told, variables: &[(&str, &str)]| choice(told, terminal, variables).colours() != Colours::none();
        assert!(coloured(true, Told::Plain, &[]) && coloured(true, Told::Tty, &[]));
        assert!(!coloured(true, Told::Plain, &[("NO_COLOR", "1")]));
        assert!(!coloured(true, Told::Plain, &[("TERM", "dumb")]));
        assert!(!coloured(false, Told::Plain, &[]));
        assert!(coloured(false, Told::Plain, &[("CLICOLOR_FORCE", "1")]));
        assert!(!coloured(false, Told::Plain, &[("CLICOLOR_FORCE", "0")]));
        assert!(coloured(false, Told::Auto, &[("GITLAB_CI", "true")]));
        assert!(!coloured(false, Told::Auto, &[("GITLAB_CI", "true"), ("NO_COLOR", "1")]));
        assert!(!coloured(false, Told::Auto, &[("JENKINS_URL", "u")]));
        assert!(
            !coloured(false, Told::Auto, &[("JENKINS_URL", "u"), ("TERM", "xterm")]),
            "a pod's terminal sets it too"
        );
        assert!(coloured(false, Told::Auto, &[("JENKINS_URL", "u"), ("CLICOLOR_FORCE", "1")]));
    }
}
