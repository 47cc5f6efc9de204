//! One path component against one glob, as Go's `path/filepath.Match` does it. Pure.

use super::super::path::first_char;

/// The pattern is malformed: an open class, an empty range, or a lone backslash at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Whether `name` matches the whole pattern. Like Go, this only notices what is malformed as far as it has to look.
pub(crate) fn matches(mut pattern: &[u8], mut name: &[u8]) -> Result<bool, Malformed> {
    'pattern: while !pattern.is_empty() {
        let (star, chunk, after) = next_chunk(pattern);
        pattern = after;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        // The last chunk must end where the name ends; any other takes the first place where it fits.
        let skippable = name.iter().take_while(|&&byte| byte != b'/').count();
        for start in 0..=if star { skippable } else { 0 } {
            if let Some(rest) = match_chunk(chunk, &name[start..])?
                && (rest.is_empty() || !pattern.is_empty())
            {
                name = rest;
                continue 'pattern;
            }
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Leading stars, then the text up to the next star outside a class, then the rest.
fn next_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|&&byte| byte == b'*').count();
    let body = &pattern[stars..];
    let mut in_class = false;
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'\\' => at += usize::from(at + 1 < body.len()),
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    (stars > 0, &body[..at], &body[at..])
}

/// What of `name` remains after the chunk, or `None` where it does not match. The chunk is read to its end either way.
fn match_chunk<'a>(mut chunk: &[u8], name: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let mut left = Some(name);
    while let Some(&byte) = chunk.first() {
        left = left.filter(|rest| !rest.is_empty());
        match byte {
            b'[' => {
                let (found, length) = first_char(left.unwrap_or_default());
                let matched;
                (matched, chunk) = match_class(&chunk[1..], found)?;
                left = left.filter(|_| matched).map(|rest| &rest[length..]);
            }
            b'?' => {
                left = left.filter(|rest| rest[0] != b'/').map(|rest| &rest[first_char(rest).1..]);
                chunk = &chunk[1..];
            }
            _ => {
                if byte == b'\\' {
                    chunk = &chunk[1..];
                }
                let literal = *chunk.first().ok_or(Malformed)?;
                left = left.filter(|rest| rest[0] == literal).map(|rest| &rest[1..]);
                chunk = &chunk[1..];
            }
        }
    }
    Ok(left)
}

fn match_class(class: &[u8], found: char) -> Result<(bool, &[u8]), Malformed> {
    let negated = class.first() == Some(&b'^');
    let mut rest = &class[usize::from(negated)..];
    let mut matched = false;
    let mut ranges = 0;
    while rest.first() != Some(&b']') || ranges == 0 {
        let (low, after) = class_char(rest)?;
        let mut high = low;
        rest = after;
        if rest[0] == b'-' {
            (high, rest) = class_char(&rest[1..])?;
        }
        matched |= (low..=high).contains(&found);
        ranges += 1;
    }
    Ok((matched != negated, &rest[1..]))
}

fn class_char(class: &[u8]) -> Result<(char, &[u8]), Malformed> {
    let class = match class.first() {
        None | Some(b'-' | b']') => return Err(Malformed),
        Some(b'\\') => &class[1..],
        Some(_) => class,
    };
    let (found, length) = first_char(class);
    let rest = &class[length..];
    let undecodable = found == char::REPLACEMENT_CHARACTER && length <= 1;
    if undecodable || rest.is_empty() { Err(Malformed) } else { Ok((found, rest)) }
}
