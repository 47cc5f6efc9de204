//! Values of files, flags and variables, and every mistake in them.

use std::ops::Range;

use toml::{Spanned, de::DeValue};

use super::{Mistake, builds};

pub(super) fn line_of(text: &str, span: &Range<usize>) -> usize {
    1 + text.as_bytes().iter().take(span.start).filter(|b| **b == b'\n').count()
}

/// Collects mistakes while it reads the values of a file.
pub(super) struct FileReader<'a> {
    pub(super) text: &'a str,
    pub(super) mistakes: Vec<Mistake>,
}

impl FileReader<'_> {
    pub(super) fn mistake(&mut self, key: &str, span: &Range<usize>, problem: String) {
        self.mistakes.push(Mistake { line: Some(line_of(self.text, span)), key: key.to_owned(), problem });
    }

    pub(super) fn string<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let result = match value.get_ref() {
            DeValue::String(text) => parse(text),
            other => Err(format!("a string is wanted, not {}", kind(other))),
        };
        result.map_err(|problem| self.mistake(key, &value.span(), problem)).ok()
    }

    pub(super) fn number(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<usize> {
        let result = match value.get_ref() {
            DeValue::Integer(number) => builds(number.as_str()),
            other => Err(format!("a number is wanted, not {}", kind(other))),
        };
        result.map_err(|problem| self.mistake(key, &value.span(), problem)).ok()
    }

    pub(super) fn list<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let DeValue::Array(items) = value.get_ref() else {
            let problem = format!("a list of strings is wanted, not {}", kind(value.get_ref()));
            self.mistake(key, &value.span(), problem);
            return None;
        };
        Some(items.iter().filter_map(|item| self.string(key, item, &parse)).collect())
    }

    pub(super) fn one_or_more<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        match value.get_ref() {
            DeValue::String(_) => self.string(key, value, parse).map(|one| vec![one]),
            _ => self.list(key, value, parse),
        }
    }

    pub(super) fn boolean(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            other => {
                self.mistake(key, &value.span(), format!("true or false is wanted, not {}", kind(other)));
                None
            }
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Collects mistakes while it looks at flags and variables.
pub(super) struct Sources<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Sources<'_> {
    /// The flag, else the first variable that is set, with the name of what spoke.
    pub(super) fn text(
        &self,
        flag: &'static str,
        value: Option<&str>,
        variables: &[&'static str],
    ) -> Option<(&'static str, String)> {
        if let Some(value) = value {
            return Some((flag, value.to_owned()));
        }
        variables.iter().find_map(|name| Some((*name, (self.variable)(name).filter(|value| !value.is_empty())?)))
    }

    pub(super) fn list<T>(
        &mut self,
        flag: &'static str,
        values: &[String],
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        if !values.is_empty() {
            return Some(values.iter().filter_map(|value| self.keep(flag, parse(value))).collect());
        }
        let value = (self.variable)(name).filter(|value| !value.is_empty())?;
        Some(value.split(',').filter_map(|value| self.keep(name, parse(value.trim()))).collect())
    }

    pub(super) fn keep<T>(&mut self, name: &str, result: Result<T, String>) -> Option<T> {
        let mistake = |problem| self.mistakes.push(Mistake { line: None, key: name.to_owned(), problem });
        result.map_err(mistake).ok()
    }
}
