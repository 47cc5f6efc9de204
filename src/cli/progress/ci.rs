//! For the log of a CI job: one step after the other, each as one block.

mod block;
mod marks;

use std::{
    collections::{BTreeMap, HashMap},
    io::Write as _,
    time::{Duration, Instant},
};

use anstyle::Style;
use block::Block;
pub(super) use marks::{Ci, Marks, harmless};

use super::{Display, Out, colour::Colours, control, ending::Ending, lines::Lines, pushes::Pushes};
use crate::model::{Event, StepId};

/// How long a step may say nothing until it is said that it runs. Most of the engine's own steps are over by then.
const SILENT: Duration = Duration::from_secs(1);

/// Steps never mix: what one writes is shown while it runs, or while no other one is on stage. What the others write
/// meanwhile waits for their turn, in a file where it is much.
pub(super) struct Steps {
    screen: Screen,
    /// Each is one line: a build arg that stands in one may be a stranger's commit message.
    names: HashMap<StepId, String>,
    /// Those that run, or whose end was not shown yet.
    open: BTreeMap<StepId, Step>,
    /// The one whose block is being written.
    stage: Option<StepId>,
    pushes: Pushes,
}

struct Step {
    since: Instant,
    lines: Lines,
    block: Block,
    /// Bytes that it moved.
    moved: u64,
    end: Option<Ending>,
}

struct Screen {
    out: Out,
    marks: Marks,
    colours: Colours,
}

impl Steps {
    pub(super) fn new(out: Out, marks: Marks, colours: Colours) -> Self {
        Self {
            screen: Screen { out, marks, colours },
            names: HashMap::new(),
            open: BTreeMap::new(),
            stage: None,
            pushes: Pushes::default(),
        }
    }

    fn step(&mut self, id: StepId) -> &mut Step {
        self.open.entry(id).or_insert_with(|| Step {
            since: Instant::now(),
            lines: Lines::default(),
            block: Block::default(),
            moved: 0,
            end: None,
        })
    }

    fn log(&mut self, id: StepId, data: &[u8]) {
        if self.stage.is_none() {
            self.enter(id);
        }
        self.step(id);
        let Self { screen, open, stage, .. } = self;
        let Some(step) = open.get_mut(&id) else { return };
        if *stage == Some(id) {
            step.lines.feed(data, |line| screen.log_line(line));
            return;
        }
        let mut full = false;
        let block = &mut step.block;
        step.lines.feed(data, |line| full |= !block.push(line));
        if full {
            // There is no room for what waits: it is shown now, and steps take turns on stage.
            self.leave(None);
            self.enter(id);
        }
    }

    /// Puts a step on the empty stage, with what it has written so far.
    fn enter(&mut self, id: StepId) {
        let title = self.title(id);
        let Self { screen, open, .. } = self;
        screen.begin(id, &title, false);
        if let Some(step) = open.get_mut(&id) {
            step.block.drain(|line| screen.log_line(line));
        }
        self.stage = Some(id);
    }

    /// Ends the block on stage, with the end of its step.
    fn leave(&mut self, end: Option<&str>) {
        if let Some(id) = self.stage.take() {
            self.screen.end(id, end);
        }
    }

    fn title(&self, id: StepId) -> String {
        format!("#{id} {}", self.names.get(&id).map(String::as_str).unwrap_or_default())
    }

    fn done(&mut self, id: StepId, end: Ending) {
        self.step(id).end = Some(end);
        self.unfinished(id);
        if self.stage == Some(id) {
            self.show_end(id);
        }
        if self.stage.is_none() {
            self.next();
        }
    }

    /// What a step has written of a line will not become more.
    fn unfinished(&mut self, id: StepId) {
        let Self { screen, open, stage, .. } = self;
        let Some(step) = open.get_mut(&id) else { return };
        let block = &mut step.block;
        if *stage == Some(id) {
            step.lines.rest(|line| screen.log_line(line));
        } else {
            step.lines.rest(|line| {
                block.push(line);
            });
        }
    }

    /// The stage is empty: shows those that wait for it and are over, and puts one that has written something on it.
    fn next(&mut self) {
        let over: Vec<StepId> = self.open.iter().filter(|(_, step)| step.end.is_some()).map(|(id, _)| *id).collect();
        for id in over {
            let title = self.title(id);
            let Self { screen, open, .. } = self;
            if let Some(step) = open.get_mut(&id).filter(|step| !step.block.is_empty()) {
                screen.begin(id, &title, step.end.as_ref().is_some_and(|end| end.error.is_none()));
                step.block.drain(|line| screen.log_line(line));
                self.stage = Some(id);
            }
            self.show_end(id);
        }
        let waiting = self.open.iter().find(|(_, step)| !step.block.is_empty()).map(|(id, _)| *id);
        if let Some(id) = waiting {
            self.enter(id);
        }
    }

    fn show_end(&mut self, id: StepId) {
        let Some(Step { end: Some(end), moved, .. }) = self.open.remove(&id) else { return };
        let name = self.names.get(&id).map(String::as_str).unwrap_or_default();
        let colours = self.screen.colours;
        let (style, line) = end.line(colours, id, name, moved);
        let line = format!("{style}{line}{style:#}");
        if self.stage == Some(id) {
            self.leave(Some(&line));
            if end.error.is_some() {
                self.screen.unfold();
            }
        } else {
            self.screen.single(&line);
        }
    }
}

impl Screen {
    /// A line, which must not be taken for a command of the CI.
    fn line(&mut self, line: &[u8]) {
        let Self { out, marks, .. } = self;
        marks.guard(line, |guard| drop(out.write_all(guard)));
        drop(out.write_all(line));
        drop(out.write_all(b"\n"));
    }

    /// Text that strangers may have had a hand in, as one line.
    fn say(&mut self, style: Style, text: &str) {
        let text = control::one_line(text);
        self.line(format!("{style}{text}{style:#}").as_bytes());
    }

    fn log_line(&mut self, line: &[u8]) {
        let coloured = self.colours != Colours::none();
        let shown = control::shown(line, coloured);
        let Self { out, marks, .. } = self;
        marks.guard(&shown, |guard| drop(out.write_all(guard)));
        drop(out.write_all(b"  "));
        drop(out.write_all(&shown));
        drop(out.write_all(b"\n"));
    }

    fn begin(&mut self, id: StepId, title: &str, folded: bool) {
        let style = self.colours.run;
        let title = self.marks.begin(id, title, folded, style);
        drop(self.out.write_all(title.as_bytes()));
    }

    fn end(&mut self, id: StepId, last: Option<&str>) {
        let end = self.marks.end(id);
        drop(self.out.write_all(end.as_bytes()));
        if let Some(last) = last {
            self.line(last.as_bytes());
            self.resume();
        }
    }

    /// A line outside of blocks.
    fn single(&mut self, line: &str) {
        let lead = self.marks.single();
        self.line(format!("{lead}{line}").as_bytes());
        self.resume();
    }

    /// After a line that stands outside of blocks, commands are ours again.
    fn resume(&mut self) {
        let resume = self.marks.resume();
        drop(self.out.write_all(resume.as_bytes()));
    }

    fn unfold(&mut self) {
        let mark = self.marks.unfold();
        drop(self.out.write_all(mark.as_bytes()));
    }
}

impl Display for Steps {
    fn show(&mut self, event: Event) {
        match event {
            Event::Notice { warning, text } => {
                let (style, text) = if warning {
                    (self.screen.colours.warning, format!("remora: warning: {text}"))
                } else {
                    (Style::new(), format!("remora: {text}"))
                };
                self.screen.say(style, &text);
            }
            Event::StepStarted { step, name } => {
                self.names.insert(step, control::one_line(&name));
                self.step(step);
            }
            Event::StepLog { step, data, .. } => self.log(step, &data),
            Event::StepProgress { step, current, done: true, .. } => {
                // What is said of a step that is over comes too late.
                if let Some(step) = self.open.get_mut(&step) {
                    step.moved = step.moved.saturating_add(current);
                }
            }
            Event::StepDone { step, cached, error, elapsed_ms } => {
                let error = error.map(|error| control::one_line(&error));
                self.done(step, Ending { cached, error, elapsed_ms });
            }
            Event::PushProgress { reference, layer, state, current, total } => {
                if let Some(line) = self.pushes.line(&reference, &layer, &state, current, total) {
                    self.screen.say(Style::new(), &line);
                }
            }
            Event::Pushed { reference, digest } => {
                self.screen.say(Style::new(), &format!("pushed {reference} {digest}"));
            }
            _ => {}
        }
    }

    fn rest(&mut self) {
        if self.stage.is_none() {
            let silent = self.open.iter().find(|(_, step)| step.since.elapsed() >= SILENT).map(|(id, _)| *id);
            if let Some(id) = silent {
                self.enter(id);
            }
        }
        drop(self.screen.out.flush());
    }

    fn every(&self) -> Option<Duration> {
        Some(SILENT)
    }

    fn finish(&mut self) {
        // What did not end was cancelled, with the failed step or by a person: it is shown as far as it came.
        let left: Vec<StepId> = self.open.keys().copied().collect();
        for id in left {
            self.unfinished(id);
        }
        self.leave(None);
        self.next();
        while let Some(id) = self.stage {
            self.open.remove(&id);
            self.leave(None);
            self.next();
        }
        let mark = self.screen.marks.finish();
        drop(self.screen.out.write_all(mark.as_bytes()));
        drop(self.screen.out.flush());
    }
}

#[cfg(test)]
mod tests;
