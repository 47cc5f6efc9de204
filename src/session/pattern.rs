//! Which paths a list of `.dockerignore`, include or exclude patterns matches: byte for byte what Docker's own clients
//! decide (`github.com/moby/patternmatcher` 0.6). Pure.
//!
//! The last pattern that matches wins, `!` takes back, `**` spans directories, and everything is anchored at the root.
//! It is not gitignore. Underneath, Docker turns a pattern into a regular expression, with accidents (`[*]`, `a|b*`,
//! `\d`) that decide what ends up in an image, so they are kept.

use std::fmt;

use super::path::{clean, first_char, trim};

pub(crate) mod glob;
mod regexp;
#[cfg(test)]
mod tests;

use regexp::Program;

/// A pattern that cannot be used. Displays as one line that names the pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern \"{}\" is invalid: {reason}", .pattern.escape_ascii())]
pub(crate) struct Invalid {
    pattern: Vec<u8>,
    reason: &'static str,
}

/// A list of patterns.
#[derive(Debug)]
pub(crate) struct Matcher {
    patterns: Vec<Pattern>,
}

/// Which patterns matched a directory, to be handed on to what is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matched(Vec<bool>);

/// One pattern, cleaned.
pub(crate) struct Pattern {
    text: Vec<u8>,
    exception: bool,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Exact,
    /// What remains of the text without its trailing `**`.
    Prefix,
    /// What remains of the text without its leading `**`.
    Suffix,
    Regexp(Program),
    /// Refused only once it is asked, as Docker does: it may never be.
    Broken(&'static str),
}

/// Why this line of a `.dockerignore` is no pattern; `None` where it is one, or blank.
pub fn broken_pattern(line: &[u8]) -> Option<String> {
    Matcher::new([line]).err().map(|invalid| invalid.to_string())
}

/// The line of a `.dockerignore`, from 1, that hides this path; `None` where none does.
#[cfg(feature = "client")]
pub fn hiding_line(text: &[u8], path: &[u8]) -> Option<usize> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = || text.split(|&byte| byte == b'\n').map(|line| if line.starts_with(b"#") { b"" } else { line });
    let hides = |matcher: &Matcher| matcher.matches_within(path, None, None) == Ok(true);
    Matcher::new(lines()).ok().filter(hides)?;
    // The last one that says anything about the path decides, and it does not let it through.
    let decides = |(_, line): &(usize, &[u8])| Matcher::new([line]).is_ok_and(|alone| hides(&alone));
    (1..).zip(lines()).filter(decides).last().map(|(number, _)| number)
}

impl Matcher {
    /// Reads patterns in their order. Blank ones count for nothing.
    ///
    /// # Errors
    /// A pattern that is malformed, or is `!` alone.
    pub(crate) fn new<P: AsRef<[u8]>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, Invalid> {
        let patterns = patterns
            .into_iter()
            .filter_map(|pattern| Pattern::new(pattern.as_ref()).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { patterns })
    }

    pub(crate) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether `path` matches, given nothing about its parents.
    ///
    /// # Errors
    /// A pattern that had to be asked and turned out to mean nothing.
    #[cfg(test)]
    pub(crate) fn matches(&self, path: &[u8]) -> Result<bool, Invalid> {
        self.matches_within(path, None, None)
    }

    /// Whether `path` matches, given what matched its parent directory. Into `matched` goes what its own children need.
    ///
    /// # Errors
    /// A pattern that had to be asked and turned out to mean nothing.
    pub(crate) fn matches_within(
        &self,
        path: &[u8],
        parent: Option<&Matched>,
        mut matched: Option<&mut Matched>,
    ) -> Result<bool, Invalid> {
        if let Some(Matched(flags)) = matched.as_deref_mut() {
            flags.clear();
            flags.resize(self.patterns.len(), false);
        }
        let mut verdict = false;
        for (index, pattern) in self.patterns.iter().enumerate() {
            let inherited = parent.is_some_and(|Matched(flags)| flags.get(index) == Some(&true));
            // A pattern that could not change the verdict is not asked, and its children are told that it did not match.
            if !inherited && pattern.exception != verdict {
                continue;
            }
            let hit = inherited || pattern.matches(path)? || (parent.is_none() && pattern.matches_a_parent(path)?);
            if let Some(Matched(flags)) = matched.as_deref_mut() {
                flags[index] = hit;
            }
            if hit {
                verdict = !pattern.exception;
            }
        }
        Ok(verdict)
    }
}

impl Pattern {
    fn new(raw: &[u8]) -> Result<Option<Self>, Invalid> {
        let trimmed = trim(raw);
        if trimmed.is_empty() {
            return Ok(None);
        }
        let mut text = clean(trimmed);
        let exception = text[0] == b'!';
        if exception {
            text.remove(0);
        }
        if text.is_empty() {
            return Err(Invalid { pattern: raw.to_vec(), reason: "there is nothing after the \"!\"" });
        }
        // Docker finds malformed patterns with this very question, and lets pass what it does not notice.
        if glob::matches(&text, b".").is_err() {
            return Err(Invalid { pattern: raw.to_vec(), reason: "it has an unfinished \"[\" or ends in a backslash" });
        }
        let shape = Shape::of(&text);
        Ok(Some(Self { text, exception, shape }))
    }

    /// Whether it begins with `!`.
    pub(crate) fn is_exception(&self) -> bool {
        self.exception
    }

    /// The cleaned text, without the `!`.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    fn matches(&self, path: &[u8]) -> Result<bool, Invalid> {
        match &self.shape {
            Shape::Exact => Ok(path == self.text),
            Shape::Prefix => Ok(path.starts_with(&self.text[..self.text.len() - 2])),
            Shape::Suffix => {
                let suffix = &self.text[2..];
                Ok(path.ends_with(suffix) || suffix.strip_prefix(b"/") == Some(path))
            }
            Shape::Regexp(program) => Ok(program.is_match(path)),
            Shape::Broken(reason) => Err(Invalid { pattern: self.text.clone(), reason }),
        }
    }

    fn matches_a_parent(&self, path: &[u8]) -> Result<bool, Invalid> {
        for slash in path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at) {
            if self.matches(&path[..slash])? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.exception { "!" } else { "" }, self.text.escape_ascii())
    }
}

impl Shape {
    /// Translates the pattern to a regular expression the way Docker does, or to something cheaper where that is equal.
    fn of(text: &[u8]) -> Self {
        let chars = decode(text);
        let mut regexp = vec!['^'];
        let mut shape = Self::Exact;
        let mut plain = true;
        let mut at = 0;
        let mut first = true;
        while let Some(&found) = chars.get(at) {
            at += 1;
            match found {
                '*' if chars.get(at) == Some(&'*') => {
                    at += 1;
                    at += usize::from(chars.get(at) == Some(&'/'));
                    if at < chars.len() {
                        regexp.extend("(.*/)?".chars());
                        plain = false;
                    } else if plain && matches!(shape, Self::Exact) {
                        shape = Self::Prefix;
                    } else {
                        regexp.extend(".*".chars());
                        plain = false;
                    }
                    if first {
                        shape = Self::Suffix;
                        plain = true;
                    }
                }
                '*' => {
                    regexp.extend("[^/]*".chars());
                    plain = false;
                }
                '?' => {
                    regexp.extend("[^/]".chars());
                    plain = false;
                }
                // Docker means to escape `|`, `{` and `}` too, and misses them.
                '.' | '+' | '(' | ')' | '$' => regexp.extend(['\\', found]),
                '\\' => {
                    regexp.push('\\');
                    if let Some(&escaped) = chars.get(at) {
                        regexp.push(escaped);
                        at += 1;
                        plain = false;
                    }
                }
                '[' | ']' => {
                    regexp.push(found);
                    plain = false;
                }
                _ => regexp.push(found),
            }
            first = false;
        }
        if plain {
            return shape;
        }
        regexp.push('$');
        match regexp::parse(&regexp).and_then(|node| Program::new(&node)) {
            Ok(program) => Self::Regexp(program),
            Err(reason) => Self::Broken(reason),
        }
    }
}

fn decode(text: &[u8]) -> Vec<char> {
    let mut chars = Vec::with_capacity(text.len());
    let mut rest = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    while !rest.is_empty() {
        let (found, length) = first_char(rest);
        chars.push(found);
        rest = &rest[length..];
    }
    chars
}
