//! The regular expressions that Docker makes of ignore patterns: as much of Go's `regexp` as such a pattern can reach.
//!
//! Matching runs all alternatives side by side, so its time is bounded by pattern times path: no pattern can hang a
//! build. Absent: captures, flags, and Unicode classes (`\p`), which are refused.

use super::super::path::first_char;

mod parse;

pub(super) use parse::parse;

/// A program larger than this is refused; only nested counts such as `a{1000}` repeated get there.
const MAX_STEPS: usize = 100_000;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Char(char),
    Class(Class),
    Assert(Assert),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Repeat { node: Box<Node>, min: u32, max: Option<u32> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assert {
    Begin,
    End,
    WordEdge,
    NoWordEdge,
}

/// A set of characters as inclusive ranges, or its complement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Class {
    pub(super) negated: bool,
    pub(super) ranges: Vec<(char, char)>,
}

impl Class {
    fn contains(&self, found: char) -> bool {
        self.ranges.iter().any(|&(low, high)| (low..=high).contains(&found)) != self.negated
    }
}

#[derive(Debug)]
enum Step {
    Char(char),
    Class(Class),
    Assert(Assert),
    Fork(usize, usize),
    Jump(usize),
    Done,
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Program {
    steps: Vec<Step>,
    /// Matches only from the first byte on.
    anchored: bool,
    /// Every match begins and ends so: a cheap no for most paths.
    prefix: Vec<u8>,
    suffix: Vec<u8>,
}

impl Program {
    /// Compiles an expression.
    pub(super) fn new(node: &Node) -> Result<Self, &'static str> {
        let mut program = Self { steps: Vec::new(), anchored: false, prefix: Vec::new(), suffix: Vec::new() };
        if let Node::Sequence(nodes) = node
            && let [Node::Assert(Assert::Begin), inner @ .., Node::Assert(Assert::End)] = nodes.as_slice()
        {
            program.anchored = true;
            program.prefix = literal(inner.iter()).into_iter().collect::<String>().into_bytes();
            program.suffix = literal(inner.iter().rev()).into_iter().rev().collect::<String>().into_bytes();
        }
        program.emit(node)?;
        program.push(Step::Done)?;
        Ok(program)
    }

    fn push(&mut self, step: Step) -> Result<usize, &'static str> {
        if self.steps.len() >= MAX_STEPS {
            return Err("it is too large");
        }
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    fn emit(&mut self, node: &Node) -> Result<(), &'static str> {
        match node {
            Node::Char(found) => self.push(Step::Char(*found)).map(drop),
            Node::Class(class) => self.push(Step::Class(class.clone())).map(drop),
            Node::Assert(assert) => self.push(Step::Assert(*assert)).map(drop),
            Node::Sequence(nodes) => nodes.iter().try_for_each(|node| self.emit(node)),
            Node::Choice(nodes) => self.emit_choice(nodes),
            Node::Repeat { node, min, max } => self.emit_repeat(node, *min, *max),
        }
    }

    fn emit_choice(&mut self, nodes: &[Node]) -> Result<(), &'static str> {
        let mut ends = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            if index + 1 == nodes.len() {
                self.emit(node)?;
                break;
            }
            let fork = self.push(Step::Jump(0))?;
            self.emit(node)?;
            ends.push(self.push(Step::Jump(0))?);
            self.steps[fork] = Step::Fork(fork + 1, self.steps.len());
        }
        for end in ends {
            self.steps[end] = Step::Jump(self.steps.len());
        }
        Ok(())
    }

    fn emit_repeat(&mut self, node: &Node, min: u32, max: Option<u32>) -> Result<(), &'static str> {
        for _ in 0..min {
            self.emit(node)?;
        }
        let Some(max) = max else {
            let fork = self.push(Step::Jump(0))?;
            self.emit(node)?;
            self.push(Step::Jump(fork))?;
            self.steps[fork] = Step::Fork(fork + 1, self.steps.len());
            return Ok(());
        };
        let mut forks = Vec::new();
        for _ in min..max {
            forks.push(self.push(Step::Jump(0))?);
            self.emit(node)?;
        }
        for fork in forks {
            self.steps[fork] = Step::Fork(fork + 1, self.steps.len());
        }
        Ok(())
    }

    /// Whether the expression is found in `text`.
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        if !text.starts_with(&self.prefix) || !text.ends_with(&self.suffix) {
            return false;
        }
        let mut run = Run { program: self, active: Vec::new(), reached: vec![0; self.steps.len()], round: 0 };
        let mut before = None;
        let mut at = 0;
        let mut current = Vec::new();
        loop {
            let (found, length) = first_char(&text[at..]);
            let place = Place { before, after: (length > 0).then_some(found) };
            // `active` holds the steps to enter at this place; entering follows what consumes nothing.
            let mut entries = std::mem::take(&mut run.active);
            if at == 0 || !self.anchored {
                entries.push(0);
            }
            run.round += 1;
            current.clear();
            if run.enter(&mut entries, place, &mut current) {
                return true;
            }
            if length == 0 || (current.is_empty() && self.anchored) {
                return false;
            }
            run.active = entries;
            run.active.extend(current.iter().filter(|&&step| self.consumes(step, found)).map(|step| step + 1));
            before = Some(found);
            at += length;
        }
    }

    fn consumes(&self, step: usize, found: char) -> bool {
        match &self.steps[step] {
            Step::Char(wanted) => *wanted == found,
            Step::Class(class) => class.contains(found),
            _ => false,
        }
    }
}

struct Run<'a> {
    program: &'a Program,
    active: Vec<usize>,
    /// The round in which each step was last entered.
    reached: Vec<usize>,
    round: usize,
}

#[derive(Clone, Copy)]
struct Place {
    before: Option<char>,
    after: Option<char>,
}

impl Place {
    fn allows(self, assert: Assert) -> bool {
        let word = |found: Option<char>| found.is_some_and(|found| found.is_ascii_alphanumeric() || found == '_');
        match assert {
            Assert::Begin => self.before.is_none(),
            Assert::End => self.after.is_none(),
            Assert::WordEdge => word(self.before) != word(self.after),
            Assert::NoWordEdge => word(self.before) == word(self.after),
        }
    }
}

impl Run<'_> {
    /// Empties `entries` into the steps that wait for a character; true where the end was reached.
    fn enter(&mut self, entries: &mut Vec<usize>, place: Place, waiting: &mut Vec<usize>) -> bool {
        while let Some(step) = entries.pop() {
            if std::mem::replace(&mut self.reached[step], self.round) == self.round {
                continue;
            }
            match &self.program.steps[step] {
                Step::Done => return true,
                Step::Jump(to) => entries.push(*to),
                Step::Fork(one, other) => entries.extend([*other, *one]),
                Step::Assert(assert) if place.allows(*assert) => entries.push(step + 1),
                Step::Assert(_) => {}
                Step::Char(_) | Step::Class(_) => waiting.push(step),
            }
        }
        false
    }
}

/// The plain characters that `nodes` begin with. U+FFFD also stands for bytes that are not UTF-8, so it is not plain.
fn literal<'a>(nodes: impl Iterator<Item = &'a Node>) -> Vec<char> {
    nodes
        .map_while(|node| match node {
            Node::Char(found) if *found != char::REPLACEMENT_CHARACTER => Some(*found),
            _ => None,
        })
        .collect()
}
