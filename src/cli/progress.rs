//! Events > what a person sees of them, on standard error.
//!
//! | module | what it does |
//! | --- | --- |
//! | `choice` | what is asked for, and what is on the other end > which display |
//! | `plain` | lines as they come; steps may mix |
//! | `ci` | one step after the other, foldable where the CI folds |
//! | `tty` | live, in place |
//! | `rawjson` | BuildKit's own status, a JSON text a line |
//! | `lines`, `control` | bytes of a step > whole lines, without what moves a cursor |
//! | `pushes`, `checks` | lines about pushes, and about what the engine's checks of the Dockerfile found |
//! | `ending` | how a step ended > its line |
//! | `colour` | which, if any |

mod checks;
mod choice;
mod ci;
mod colour;
mod control;
mod ending;
mod lines;
mod plain;
mod pushes;
mod rawjson;
mod tty;

use std::{
    io::{self, BufWriter, Write},
    time::Duration,
};

use checks::Checks;
pub(super) use choice::Choice;

use super::{args::Told, text};
use crate::model::Event;

/// Bytes that are gathered before they are written, while events come faster than they are shown.
const GATHERED: usize = 64 << 10;

/// Where a display writes. Nobody may be reading any more; the work goes on, so errors are dropped.
type Out = Box<dyn Write + Send>;

/// One way to show events.
trait Display: Send {
    /// Shows one event.
    fn show(&mut self, event: Event);

    /// Says where the build waits.
    fn waiting(&mut self, text: String) {
        self.show(Event::Notice { warning: false, text });
    }

    /// No event waits: what was gathered is shown. It is called at least as often as [`every`](Self::every) says.
    fn rest(&mut self);

    /// How often something changes without an event.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// Nothing more comes.
    fn finish(&mut self) {
        self.rest();
    }
}

/// Progress of one call.
pub(super) struct Progress {
    display: Box<dyn Display>,
    checks: Checks,
    taken: bool,
    begun: bool,
    finished: bool,
}

impl Progress {
    /// On standard error, as chosen.
    pub(super) fn new(choice: &Choice) -> Self {
        let out: Out = Box::new(BufWriter::with_capacity(GATHERED, io::stderr()));
        let colours = choice.colours();
        let display: Box<dyn Display> = match choice {
            Choice::Warnings => Box::new(plain::Plain::quiet(out)),
            Choice::Plain { .. } => Box::new(plain::Plain::new(out, colours)),
            Choice::Ci { ci, .. } => Box::new(ci::Steps::new(out, ci::Marks::new(*ci), colours)),
            Choice::Tty { log_lines, columns, .. } => {
                Box::new(tty::Tty::new(tty::Painter::new(out, *columns), colours, *log_lines))
            }
            Choice::RawJson => Box::new(rawjson::RawJson::new(out)),
        };
        Self { display, checks: Checks::default(), taken: false, begun: false, finished: false }
    }

    /// As the environment has it.
    pub(super) fn by_itself(quiet: bool) -> Self {
        Self::new(&Choice::of_process(if quiet { Told::Quiet } else { Told::Auto }))
    }

    /// Shows one event.
    pub(super) fn show(&mut self, event: Event) {
        self.begun |= matches!(event, Event::Accepted { .. } | Event::PushProgress { .. });
        self.taken |= self.begun || matches!(event, Event::Waiting { .. });
        match event {
            Event::Check { text, url } => self.checks.add(text, url),
            Event::Waiting { text } => self.display.waiting(text),
            Event::Freed { kind, count, bytes, dry_run, at_most } => {
                let verb = match (dry_run, at_most) {
                    (false, _) => "freed",
                    (true, false) => "would free",
                    (true, true) => "would free at most",
                };
                text::data(&format!("{verb} {} of {kind} ({count})", text::bytes(bytes)));
            }
            event => self.display.show(event),
        }
    }

    /// A line of our own that is no warning, where there is room for such. It is seen at once.
    pub(super) fn note(&mut self, text: String) {
        self.show(Event::Notice { warning: false, text });
        self.rest();
    }

    /// Says why it takes longer, where there is something to say.
    pub(super) fn tell(&mut self, warning: Option<String>) {
        if let Some(text) = warning {
            self.show(Event::Notice { warning: true, text });
            self.rest();
        }
    }

    /// Whether an agent took it, be it into its queue.
    pub(super) fn was_taken(&self) -> bool {
        self.taken
    }

    /// Whether the engine was at work.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// No event waits.
    pub(super) fn rest(&mut self) {
        self.display.rest();
    }

    /// How often [`rest`](Self::rest) wants to be called.
    pub(super) fn every(&self) -> Option<Duration> {
        self.display.every()
    }

    /// Nothing more comes: what is said once at the end is said.
    pub(super) fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        for line in self.checks.take() {
            self.display.show(Event::Notice { warning: true, text: line });
        }
        self.display.finish();
    }
}

/// A call that is interrupted is shown as far as it came.
impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests;
