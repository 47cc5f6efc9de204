//! Lines as they come: one when a step starts, its output, and one when it ends.

use std::{collections::HashMap, io::Write as _};

use anstyle::Style;

use super::{Display, Out, colour::Colours, ending::Ending, lines::Lines, pushes::Pushes, text};
use crate::model::{Event, StepId};

/// Plain progress. Lines of several steps may mix; each says whose it is.
pub(super) struct Plain {
    out: Out,
    quiet: bool,
    colours: Colours,
    steps: HashMap<StepId, Step>,
    pushes: Pushes,
}

#[derive(Default)]
struct Step {
    name: String,
    lines: Lines,
}

impl Plain {
    pub(super) fn new(out: Out, colours: Colours) -> Self {
        Self { out, quiet: false, colours, steps: HashMap::new(), pushes: Pushes::default() }
    }

    /// Warnings alone.
    pub(super) fn quiet(out: Out) -> Self {
        Self { quiet: true, ..Self::new(out, Colours::none()) }
    }

    fn log(&mut self, step: StepId, data: &[u8]) {
        let out = &mut self.out;
        self.steps.entry(step).or_default().lines.feed(data, |line| log_line(out, step, line));
    }

    fn done(&mut self, step: StepId, ending: &Ending) {
        let out = &mut self.out;
        let known = self.steps.entry(step).or_default();
        known.lines.rest(|line| log_line(out, step, line));
        let (style, line) = ending.line(self.colours, step, &known.name, 0);
        self.line(style, &line);
    }

    fn line(&mut self, style: Style, line: &str) {
        drop(writeln!(self.out, "{style}{line}{style:#}"));
    }
}

fn log_line(out: &mut Out, step: StepId, line: &[u8]) {
    drop(write!(out, "#{step}   "));
    drop(out.write_all(line));
    drop(out.write_all(b"\n"));
}

impl Display for Plain {
    fn show(&mut self, event: Event) {
        let (colours, plain) = (self.colours, Style::new());
        match event {
            Event::Notice { warning: true, text } => self.line(colours.warning, &format!("remora: warning: {text}")),
            Event::Notice { warning: false, text } if !self.quiet => self.line(plain, &format!("remora: {text}")),
            _ if self.quiet => {}
            Event::StepStarted { step, name } => {
                self.line(colours.run, &format!("#{step} {name}"));
                self.steps.entry(step).or_default().name = name;
            }
            Event::StepLog { step, data, .. } => self.log(step, &data),
            Event::StepProgress { step, what, current, done: true, .. } if current > 0 => {
                self.line(plain, &format!("#{step}   {what} {}", text::bytes(current)));
            }
            Event::StepDone { step, cached, error, elapsed_ms } => {
                self.done(step, &Ending { cached, error, elapsed_ms });
            }
            Event::PushProgress { reference, layer, state, current, total } => {
                if let Some(line) = self.pushes.line(&reference, &layer, &state, current, total) {
                    self.line(plain, &line);
                }
            }
            Event::Pushed { reference, digest } => self.line(plain, &format!("pushed {reference} {digest}")),
            _ => {}
        }
    }

    fn rest(&mut self) {
        drop(self.out.flush());
    }
}
