//! How a step ended > its line, the same in every display.

use anstyle::Style;

use super::{colour::Colours, text};
use crate::model::StepId;

/// How it ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) cached: bool,
    pub(super) error: Option<String>,
    /// How long it took, in milliseconds.
    pub(super) elapsed_ms: u64,
}

impl Ending {
    /// The line of that step, which moved so many bytes.
    pub(super) fn line(&self, colours: Colours, step: StepId, name: &str, moved: u64) -> (Style, String) {
        let size = if moved > 0 { format!(" ({})", text::bytes(moved)) } else { String::new() };
        match &self.error {
            // Another step failed, or somebody ended the build: it is not this one's fault.
            Some(error) if error.trim_end().ends_with("context canceled") => {
                (Style::new(), format!("#{step} CANCELED {name}"))
            }
            Some(error) => (colours.error, format!("#{step} ERROR {name}: {}", without_command(error.trim_end()))),
            None if self.cached => (colours.cached, format!("#{step} CACHED {name}{size}")),
            None => (colours.run, format!("#{step} DONE {} {name}{size}", text::seconds(self.elapsed_ms))),
        }
    }
}

/// Of a RUN that failed, what comes behind the command, which its name has.
fn without_command(error: &str) -> &str {
    error.rsplit_once(" did not complete successfully: ").map_or(error, |(_, how)| how)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_others_ended_is_no_error() {
        let line = |error: &str| {
            let error = Some(error.to_owned());
            Ending { cached: false, error, elapsed_ms: 0 }.line(Colours::of(""), 1, "RUN x", 0)
        };
        let killed = "process \"/bin/sh -c x\" did not complete successfully: exit code: 137: context canceled";
        assert_eq!(line(killed), (Style::new(), "#1 CANCELED RUN x".to_owned()));
        let failed = line("process \"/bin/sh -c x\" did not complete successfully: exit code: 1");
        assert_eq!(failed, (Colours::of("").error, "#1 ERROR RUN x: exit code: 1".to_owned()));
    }
}
