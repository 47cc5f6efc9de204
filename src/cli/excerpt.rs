//! Finds the line of the Dockerfile at fault where the engine does not tell it, as Docker 20.10.

use crate::model::{Excerpt, Failure};

/// Lines shown before and after those at fault.
const AROUND: usize = 2;

/// The lines at fault, if they can be told: a parse error names its line, a step is the only instruction that reads so.
pub(super) fn find(failure: &Failure, file: &str, dockerfile: &str) -> Option<Excerpt> {
    let lines: Vec<&str> = dockerfile.lines().collect();
    let (from, to) = parse_error_line(&failure.what).or_else(|| step_lines(&failure.step, &lines))?;
    let first = from.checked_sub(1)?.saturating_sub(AROUND);
    let last = (to + AROUND).min(lines.len());
    Some(Excerpt {
        file: file.to_owned(),
        first_line: u32::try_from(first + 1).ok()?,
        lines: lines.get(first..last)?.iter().map(|&line| line.to_owned()).collect(),
        from_line: u32::try_from(from).ok()?,
        to_line: u32::try_from(to).ok()?,
    })
}

fn parse_error_line(what: &str) -> Option<(usize, usize)> {
    let (_, rest) = what.split_once("parse error line ").or_else(|| what.split_once("parse error on line "))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let line = digits.parse().ok()?;
    Some((line, line))
}

fn step_lines(step: &str, lines: &[&str]) -> Option<(usize, usize)> {
    let (_, wanted) = step.split_once("] ")?;
    let wanted = words(wanted);
    let mut found = instructions(lines).into_iter().filter(|(_, _, text)| words(text) == wanted);
    match (found.next(), found.next()) {
        (Some((from, to, _)), None) => Some((from, to)),
        _ => None,
    }
}

/// Keyword in capitals, white space as one blank: as the engine writes a step's name.
fn words(text: &str) -> String {
    let mut words = text.split_whitespace();
    let keyword = words.next().unwrap_or_default().to_uppercase();
    std::iter::once(keyword.as_str()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Instructions with the numbers of their first and last lines; continued lines are joined.
fn instructions(lines: &[&str]) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(lines) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let (from, mut text) = open.take().unwrap_or((number, String::new()));
        if let Some(part) = trimmed.strip_suffix('\\') {
            text.push_str(part);
            text.push(' ');
            open = Some((from, text));
        } else {
            text.push_str(trimmed);
            found.push((from, number, text));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureKind;

    const DOCKERFILE: &str = "FROM base\n\nrun echo one && \\\n  # why\n  false\nRUN true\nFROM base\nRUN true\n";

    fn lines(what: &str, step: &str) -> Option<(u32, u32)> {
        let failure = Failure { step: step.to_owned(), ..Failure::new(FailureKind::Build, what) };
        find(&failure, "Dockerfile", DOCKERFILE).map(|excerpt| (excerpt.from_line, excerpt.to_line))
    }

    #[test]
    fn a_step_is_found_over_its_continued_lines() {
        assert_eq!(lines("exit code: 1", "[2/3] RUN echo one &&   false"), Some((3, 5)));
    }

    #[test]
    fn two_steps_that_read_alike_are_not_guessed_between() {
        assert_eq!(lines("exit code: 1", "[stage-1 2/2] RUN true"), None);
        assert_eq!(lines("exit code: 1", ""), None);
    }

    #[test]
    fn a_parse_error_names_its_line() {
        assert_eq!(lines("dockerfile parse error line 6: unknown instruction: RUNN", ""), Some((6, 6)));
        assert_eq!(lines("dockerfile parse error line 99: x", ""), None);
    }
}
