//! Finds the paths in Rust source: a small lexer that drops comments and strings, and a walk over `use` trees.

use std::collections::HashSet;

/// A path such as `crate::engine::dial`, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// From 1.
    pub(crate) line: usize,
    segments: Vec<String>,
    /// Whether a name before the first `::` is one of this file: an import, a module, a type.
    local: bool,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Used {
    Room(String),
    Crate(String),
}

impl Path {
    /// What this leads to, in a file that lies `depth` modules below the crate's root. `crates` are all that there are.
    pub(crate) fn target(&self, depth: usize, crates: &[String]) -> Option<Used> {
        let supers =
            self.segments.iter().take_while(|s| *s == "super" || *s == "self").filter(|s| *s == "super").count();
        let rest = || self.segments.iter().find(|s| !matches!(s.as_str(), "super" | "self" | "crate"));
        match self.segments.first()?.as_str() {
            "crate" => rest().cloned().map(Used::Room),
            "super" | "self" if supers >= depth && supers > 0 => rest().cloned().map(Used::Room),
            "super" | "self" => None,
            first if self.local || !crates.iter().any(|name| name == first) => None,
            first => Some(Used::Crate(first.to_owned())),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    /// `::`
    Colons,
    Other(char),
}

/// Every path of a file: those of `use` and `extern crate`, and those in the midst of code.
pub(crate) fn paths(text: &str) -> Vec<Path> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut local = HashSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let name = |i: usize| match tokens.get(i) {
            Some((Token::Name(name), _)) => Some(name.as_str()),
            _ => None,
        };
        match name(at) {
            Some("use") => at = tree(&tokens, at + 1, &[], &mut found),
            Some("extern") if name(at + 1) == Some("crate") => {
                let segments = name(at + 2).into_iter().map(str::to_owned).collect();
                found.push(Path { line: tokens[at].1, segments, local: false });
                at += 3;
            }
            Some("mod" | "fn" | "type" | "struct" | "enum" | "trait") => {
                local.extend(name(at + 1).map(str::to_owned));
                at += 2;
            }
            Some(_) => at = inline(&tokens, at, &mut found),
            None => at += 1,
        }
    }
    // What an import of several names brings in is no crate where it is used: the import itself has been judged.
    let imports = found.iter().filter(|p| !p.local && p.segments.len() > 1);
    local.extend(imports.filter_map(|p| p.segments.last().cloned()));
    for path in found.iter_mut().filter(|p| p.local) {
        path.local = path.segments.first().is_some_and(|first| local.contains(first));
    }
    found
}

/// A path in code, which begins at a name. One of a single name says nothing.
fn inline(tokens: &[(Token, usize)], mut at: usize, found: &mut Vec<Path>) -> usize {
    let line = tokens[at].1;
    // `a.b::<T>()` is a method.
    let method = at > 0 && tokens[at - 1].0 == Token::Other('.');
    let mut segments = Vec::new();
    while let Some((Token::Name(name), _)) = tokens.get(at) {
        segments.push(name.clone());
        at += 1;
        if tokens.get(at).map(|t| &t.0) != Some(&Token::Colons) {
            break;
        }
        at += 1;
    }
    let is_path = segments.len() > 1 || (at > 0 && tokens[at - 1].0 == Token::Colons);
    if is_path && !method && !matches!(segments[0].as_str(), "pub" | "in") {
        // Whether it is local is found out at the end; the mark keeps it apart from imports until then.
        found.push(Path { line, segments, local: true });
    }
    at
}

/// A tree of `use`, up to its `;`, `,` or `}`.
fn tree(tokens: &[(Token, usize)], mut at: usize, before: &[String], found: &mut Vec<Path>) -> usize {
    let mut segments = before.to_vec();
    let mut line = tokens.get(at).map_or(0, |t| t.1);
    let mut group = false;
    while let Some((token, here)) = tokens.get(at) {
        match token {
            // Another name for it.
            Token::Name(name) if name == "as" => at += 1,
            Token::Name(name) => {
                segments.push(name.clone());
                line = *here;
            }
            Token::Colons | Token::Other('*') => {}
            Token::Other('{') => {
                group = true;
                at += 1;
                while !matches!(tokens.get(at), None | Some((Token::Other('}'), _))) {
                    at = tree(tokens, at, &segments, found);
                    if matches!(tokens.get(at), Some((Token::Other(','), _))) {
                        at += 1;
                    }
                }
            }
            Token::Other(_) => break,
        }
        at += 1;
    }
    if !group && !segments.is_empty() {
        found.push(Path { line, segments, local: false });
    }
    at
}

/// The source without comments, strings, characters and lifetimes.
fn tokens(text: &str) -> Vec<(Token, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let peek = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let start = at;
        match (chars[at], peek(at + 1)) {
            ('/', '/') => at += chars[at..].iter().take_while(|c| **c != '\n').count(),
            ('/', '*') => at = after_comment(&chars, at),
            ('"', _) => at = after_string(&chars, at + 1),
            ('r', '"' | '#') | ('b', 'r') if is_raw(&chars, at) => at = after_raw_string(&chars, at),
            // A raw name such as `r#type`.
            ('r', '#') => at += 2,
            ('\'', '\\') => at += 3 + chars[(at + 3).min(chars.len())..].iter().take_while(|c| **c != '\'').count() + 1,
            ('\'', _) if peek(at + 2) == '\'' => at += 3,
            // A lifetime.
            ('\'', _) => at += 1 + name_length(&chars, at + 1),
            (':', ':') => {
                found.push((Token::Colons, line));
                at += 2;
            }
            (c, _) if c.is_alphanumeric() || c == '_' => {
                at += name_length(&chars, at);
                found.push((Token::Name(chars[start..at].iter().collect()), line));
            }
            (c, _) => {
                if !c.is_whitespace() {
                    found.push((Token::Other(c), line));
                }
                at += 1;
            }
        }
        at = at.min(chars.len());
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn name_length(chars: &[char], at: usize) -> usize {
    chars[at.min(chars.len())..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count()
}

fn after_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn after_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Whether a raw string begins here: `r"`, `r#"`, `br"` ...
fn is_raw(chars: &[char], at: usize) -> bool {
    let rest = &chars[at..];
    let rest = rest.strip_prefix(&['b']).unwrap_or(rest);
    rest.first() == Some(&'r') && rest.iter().skip(1).find(|c| **c != '#') == Some(&'"')
}

fn after_raw_string(chars: &[char], at: usize) -> usize {
    let open = at + chars[at..].iter().take_while(|c| **c != '"').count();
    let hashes = chars[at..open].iter().filter(|c| **c == '#').count();
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &chars[(open + 1).min(chars.len())..];
    body.windows(end.len()).position(|w| *w == end[..]).map_or(chars.len(), |place| open + 1 + place + end.len())
}
