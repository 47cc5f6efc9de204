//! Live, in place: what runs, with its last lines and its bytes, below what is over.

mod painter;
mod rows;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

pub(super) use painter::Painter;
use rows::Row;

use super::{
    Display,
    colour::Colours,
    ending::Ending,
    lines::{self, Lines},
    pushes,
};
use crate::model::{Event, StepId};

/// Between two pictures: more would be work that nobody sees.
const PAUSE: Duration = Duration::from_millis(100);

/// A terminal.
pub(super) struct Tty {
    painter: Painter,
    colours: Colours,
    /// Lines of each running step's output that are shown.
    log_lines: usize,
    names: HashMap<StepId, String>,
    running: BTreeMap<StepId, Running>,
    over: BTreeSet<StepId>,
    pushes: BTreeMap<String, BTreeMap<String, Moved>>,
    painted: Option<Instant>,
}

/// A step that runs.
struct Running {
    since: Instant,
    /// Its last lines.
    log: VecDeque<Vec<u8>>,
    lines: Lines,
    /// What it moves, by name.
    moves: BTreeMap<String, Moved>,
}

/// Bytes that move.
#[derive(Default, Clone, Copy)]
struct Moved {
    current: u64,
    /// 0 where it is not known.
    total: u64,
    done: bool,
}

impl Tty {
    pub(super) fn new(painter: Painter, colours: Colours, log_lines: usize) -> Self {
        Self {
            painter,
            colours,
            log_lines,
            names: HashMap::new(),
            running: BTreeMap::new(),
            over: BTreeSet::new(),
            pushes: BTreeMap::new(),
            painted: None,
        }
    }

    fn step(&mut self, id: StepId) -> &mut Running {
        self.running.entry(id).or_insert_with(|| Running {
            since: Instant::now(),
            log: VecDeque::new(),
            lines: Lines::default(),
            moves: BTreeMap::new(),
        })
    }

    fn log(&mut self, id: StepId, data: &[u8]) {
        if self.over.contains(&id) {
            return;
        }
        let wanted = self.log_lines;
        let Running { log, lines, .. } = self.step(id);
        let seen = lines::last(data, wanted);
        if seen.len() < data.len() {
            lines.forget();
        }
        lines.feed(seen, |line| {
            log.push_back(line.to_vec());
            if log.len() > wanted {
                log.pop_front();
            }
        });
    }

    /// A step that is over may move something yet: what is cached is fetched when something needs it.
    fn moved(&mut self, id: StepId, what: String, moved: Moved) {
        if moved.done && !self.running.contains_key(&id) {
            return;
        }
        let step = self.step(id);
        step.moves.insert(what, moved);
        if self.over.contains(&id) && self.running[&id].moves.values().all(|moved| moved.done) {
            self.running.remove(&id);
        }
    }

    fn done(&mut self, id: StepId, ending: &Ending) {
        let moved: u64 =
            self.running.remove(&id).iter().flat_map(|step| step.moves.values()).map(|moved| moved.current).sum();
        self.over.insert(id);
        let name = self.names.get(&id).map(String::as_str).unwrap_or_default();
        let (style, line) = ending.line(self.colours, id, name, moved);
        self.painter.above(style, &line);
    }

    fn push(&mut self, reference: String, layer: String, state: &str, current: u64, total: u64) {
        let moved = self.pushes.entry(reference).or_default().entry(layer).or_default();
        moved.current = moved.current.max(current);
        moved.total = moved.total.max(total);
        moved.done |= pushes::ended(state);
    }

    fn paint(&mut self) {
        let now = Instant::now();
        self.painted = Some(now);
        let size = self.painter.size();
        let rows = self.rows(now, size);
        self.painter.paint(&rows, size);
    }
}

impl Display for Tty {
    fn show(&mut self, event: Event) {
        match event {
            Event::Notice { warning: true, text } => {
                self.painter.above(self.colours.warning, &format!("remora: warning: {text}"));
            }
            Event::Notice { warning: false, text } => {
                self.painter.above(anstyle::Style::new(), &format!("remora: {text}"));
            }
            Event::StepStarted { step, name } => {
                self.names.insert(step, name);
                // It may run once more.
                self.over.remove(&step);
                self.step(step);
            }
            Event::StepLog { step, data, .. } => self.log(step, &data),
            Event::StepProgress { step, what, current, total, done } => {
                self.moved(step, what, Moved { current, total, done });
            }
            Event::StepDone { step, cached, error, elapsed_ms } => {
                self.done(step, &Ending { cached, error, elapsed_ms });
            }
            Event::PushProgress { reference, layer, state, current, total } => {
                self.push(reference, layer, &state, current, total);
            }
            Event::Pushed { reference, digest } => {
                self.pushes.remove(&reference);
                self.painter.above(anstyle::Style::new(), &format!("pushed {reference} {digest}"));
            }
            _ => {}
        }
        if self.painted.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.paint();
        }
    }

    fn rest(&mut self) {
        if self.painted.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.paint();
        }
    }

    fn every(&self) -> Option<Duration> {
        Some(PAUSE)
    }

    fn finish(&mut self) {
        self.running.clear();
        self.pushes.clear();
        self.paint();
        self.painter.restore();
    }
}

#[cfg(test)]
mod tests;
