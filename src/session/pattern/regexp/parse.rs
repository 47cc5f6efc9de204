//! Text to expression, with the rules and the refusals of Go's `regexp/syntax`.

use super::{Assert, Class, Node};

type Result<T> = std::result::Result<T, &'static str>;

/// Go refuses larger counts in `{n,m}`.
const MAX_REPEAT: u32 = 1000;

/// Reads a whole expression.
pub(crate) fn parse(text: &[char]) -> Result<Node> {
    let mut parser = Parser { text, at: 0 };
    let node = parser.choice()?;
    if parser.peek().is_some() { Err("it has an unexpected ')'") } else { Ok(node) }
}

struct Parser<'a> {
    text: &'a [char],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let found = self.peek();
        self.at += usize::from(found.is_some());
        found
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn choice(&mut self) -> Result<Node> {
        let mut branches = vec![Node::Sequence(self.sequence()?)];
        while self.eat('|') {
            branches.push(Node::Sequence(self.sequence()?));
        }
        Ok(match branches.pop() {
            Some(only) if branches.is_empty() => only,
            last => {
                branches.extend(last);
                Node::Choice(branches)
            }
        })
    }

    fn sequence(&mut self) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        // Two repetitions in a row are an error, so it matters whether the last node is one by an operator.
        let mut repeated = false;
        while let Some(found) = self.peek().filter(|&found| found != '|' && found != ')') {
            let before = self.at;
            self.at += 1;
            let count = match found {
                '*' => Some((0, None)),
                '?' => Some((0, Some(1))),
                '{' => self.count(before),
                _ => None,
            };
            if let Some((min, max)) = count {
                if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || max < min) {
                    return Err("its count in braces is out of range");
                }
                if repeated {
                    return Err("it repeats a repetition");
                }
                let node = Box::new(nodes.pop().ok_or("it repeats nothing")?);
                nodes.push(Node::Repeat { node, min, max });
                // Greedy or not is all the same to whether it matches.
                self.eat('?');
                repeated = true;
                continue;
            }
            repeated = false;
            match found {
                '(' => nodes.push(self.group()?),
                '[' => nodes.push(Node::Class(self.class()?)),
                '.' => nodes.push(Node::Class(Class { negated: true, ranges: vec![('\n', '\n')] })),
                '^' => nodes.push(Node::Assert(Assert::Begin)),
                '$' => nodes.push(Node::Assert(Assert::End)),
                '\\' => self.escaped(&mut nodes)?,
                _ => nodes.push(Node::Char(found)),
            }
        }
        Ok(nodes)
    }

    fn group(&mut self) -> Result<Node> {
        let node = self.choice()?;
        if self.eat(')') { Ok(node) } else { Err("it lacks a ')'") }
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else is plain text, and the reader stays behind the brace.
    fn count(&mut self, brace: usize) -> Option<(u32, Option<u32>)> {
        let counted = self.number().and_then(|min| {
            let max = if !self.eat(',') {
                Some(min)
            } else if self.peek() == Some('}') {
                None
            } else {
                Some(self.number()?)
            };
            self.eat('}').then_some((min, max))
        });
        if counted.is_none() {
            self.at = brace + 1;
        }
        counted
    }

    fn number(&mut self) -> Option<u32> {
        let start = self.at;
        let mut value = 0_u32;
        while let Some(digit) = self.peek().and_then(|found| found.to_digit(10)) {
            value = value.saturating_mul(10).saturating_add(digit);
            self.at += 1;
        }
        let length = self.at - start;
        (length > 0 && (length == 1 || self.text[start] != '0')).then_some(value)
    }

    fn escaped(&mut self, nodes: &mut Vec<Node>) -> Result<()> {
        let assert = match self.peek() {
            Some('A') => Some(Assert::Begin),
            Some('z') => Some(Assert::End),
            Some('b') => Some(Assert::WordEdge),
            Some('B') => Some(Assert::NoWordEdge),
            _ => None,
        };
        if let Some(assert) = assert {
            self.at += 1;
            nodes.push(Node::Assert(assert));
        } else if self.eat('Q') {
            while let Some(found) = self.next() {
                if found == '\\' && self.eat('E') {
                    break;
                }
                nodes.push(Node::Char(found));
            }
        } else if let Some(ranges) = self.perl_class() {
            nodes.push(Node::Class(Class { negated: false, ranges }));
        } else {
            nodes.push(Node::Char(self.escape()?));
        }
        Ok(())
    }

    /// The letter of `\d`, `\S` and the like.
    fn perl_class(&mut self) -> Option<Vec<(char, char)>> {
        let letter = self.peek()?;
        let ranges: &[(char, char)] = match letter.to_ascii_lowercase() {
            'd' => &[('0', '9')],
            's' => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
            'w' => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
            _ => return None,
        };
        self.at += 1;
        Some(if letter.is_ascii_uppercase() { complement(ranges) } else { ranges.to_vec() })
    }

    /// What stands after a backslash, where it means one character.
    fn escape(&mut self) -> Result<char> {
        const BAD: &str = "it has an escape that means nothing";
        let found = self.next().ok_or("it ends in a backslash")?;
        match found {
            '0' => self.octal(found),
            '1'..='7' if self.peek().is_some_and(|next| next.is_digit(8)) => self.octal(found),
            'x' => self.hexadecimal(),
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            'p' | 'P' => Err("it has a Unicode class (\\p), which is not supported"),
            _ if found.is_ascii() && !found.is_ascii_alphanumeric() => Ok(found),
            _ => Err(BAD),
        }
    }

    fn octal(&mut self, first: char) -> Result<char> {
        let mut value = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|found| found.to_digit(8)) else { break };
            value = value * 8 + digit;
            self.at += 1;
        }
        char::from_u32(value).ok_or("it has an escape that means nothing")
    }

    fn hexadecimal(&mut self) -> Result<char> {
        const BAD: &str = "its hexadecimal escape is wrong";
        let mut value = 0;
        if self.eat('{') {
            let mut digits = 0;
            while !self.eat('}') {
                let digit = self.next().and_then(|found| found.to_digit(16)).ok_or(BAD)?;
                value = value * 16 + digit;
                digits += 1;
                if value > u32::from(char::MAX) {
                    return Err(BAD);
                }
            }
            if digits == 0 {
                return Err(BAD);
            }
        } else {
            for _ in 0..2 {
                value = value * 16 + self.next().and_then(|found| found.to_digit(16)).ok_or(BAD)?;
            }
        }
        char::from_u32(value).ok_or(BAD)
    }

    /// The rest of a class, after its `[`.
    fn class(&mut self) -> Result<Class> {
        const OPEN: &str = "it lacks a ']'";
        let mut class = Class { negated: self.eat('^'), ranges: Vec::new() };
        let mut first = true;
        while first || self.peek() != Some(']') {
            first = false;
            if self.text[self.at..].starts_with(&['[', ':'])
                && let Some(ranges) = self.named_class()?
            {
                class.ranges.extend(ranges);
                continue;
            }
            if self.peek() == Some('\\') {
                self.at += 1;
                if let Some(ranges) = self.perl_class() {
                    class.ranges.extend(ranges);
                    continue;
                }
                self.at -= 1;
            }
            let low = self.class_char()?;
            let mut high = low;
            if let [dash, after, ..] = self.text[self.at..]
                && (dash, after == ']') == ('-', false)
            {
                self.at += 1;
                high = self.class_char()?;
            }
            if high < low {
                return Err("its class has a range that runs backwards");
            }
            class.ranges.push((low, high));
        }
        if self.eat(']') { Ok(class) } else { Err(OPEN) }
    }

    fn class_char(&mut self) -> Result<char> {
        match self.next() {
            None => Err("it lacks a ']'"),
            Some('\\') => self.escape(),
            Some(found) => Ok(found),
        }
    }

    /// `[:alpha:]` and the like; `None` where there is no closing `:]`.
    fn named_class(&mut self) -> Result<Option<Vec<(char, char)>>> {
        let rest = &self.text[self.at + 2..];
        let Some(length) = rest.windows(2).position(|pair| pair == [':', ']']) else { return Ok(None) };
        let name: String = rest[..length].iter().collect();
        let ranges: &[(char, char)] = match name.strip_prefix('^').unwrap_or(&name) {
            "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
            "alpha" => &[('A', 'Z'), ('a', 'z')],
            "ascii" => &[('\0', '\x7f')],
            "blank" => &[('\t', '\t'), (' ', ' ')],
            "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
            "digit" => &[('0', '9')],
            "graph" => &[('!', '~')],
            "lower" => &[('a', 'z')],
            "print" => &[(' ', '~')],
            "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
            "space" => &[('\t', '\r'), (' ', ' ')],
            "upper" => &[('A', 'Z')],
            "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
            "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
            _ => return Err("it names a class that does not exist"),
        };
        self.at += length + 4;
        Ok(Some(if name.starts_with('^') { complement(ranges) } else { ranges.to_vec() }))
    }
}

/// All other characters; `ranges` are sorted and apart.
fn complement(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut outside = Vec::new();
    let mut from = 0;
    for &(low, high) in ranges {
        outside.extend(u32::from(low).checked_sub(1).and_then(char::from_u32).zip(char::from_u32(from)));
        from = u32::from(high) + 1;
    }
    outside.extend(Some(char::MAX).zip(char::from_u32(from)));
    outside.into_iter().map(|(high, low)| (low, high)).filter(|(low, high)| low <= high).collect()
}
