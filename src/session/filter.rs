//! What of a directory is sent: include patterns, exclude patterns and follow paths, judged one path at a time on the
//! way down a tree, as fsutil's `FilterFS` does. Absent: reading the tree.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::pattern::{Invalid, Matched, Matcher, Pattern};

mod follow;
#[cfg(test)]
mod tests;

/// What a receiver asks for. Empty lists ask for everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) include: Vec<Vec<u8>>,
    pub(crate) exclude: Vec<Vec<u8>>,
    pub(crate) follow: Vec<Vec<u8>>,
}

/// A selection, ready to judge.
#[derive(Debug)]
pub(crate) struct Filter {
    include: Option<Matcher>,
    exclude: Option<Matcher>,
    /// No included path needs a wildcard to be seen as a prefix, so subtrees can be passed over.
    plain_includes: bool,
    plain_exceptions: bool,
    /// Files and links that alone may be sent, whatever the patterns say.
    only: Option<BTreeSet<Vec<u8>>>,
}

/// Why a selection cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Pattern(#[from] Invalid),
    #[error("cannot follow links: {0}")]
    Links(#[from] io::Error),
}

/// What matched a directory, for the sake of what is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct DirMatch {
    include: Matched,
    exclude: Matched,
}

/// What to do with one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// It is sent, and its parent directories before it.
    pub(crate) send: bool,
    /// Something in it may be sent.
    pub(crate) descend: bool,
}

const PASS_OVER: Verdict = Verdict { send: false, descend: false };

impl Filter {
    /// Reads the patterns, and the links under `root` that the follow paths name.
    pub(crate) fn new(root: &Path, selection: Selection) -> Result<Self, Error> {
        let Selection { mut include, exclude, follow } = selection;
        if !follow.is_empty()
            && let Some(targets) = follow::resolve(root, &follow)?
        {
            include.extend(targets);
            include = follow::dedupe(include).unwrap_or_default();
        }
        let include = (!include.is_empty()).then(|| Matcher::new(&include)).transpose()?;
        let exclude = (!exclude.is_empty()).then(|| Matcher::new(&exclude)).transpose()?;
        let plain = |matcher: &Option<Matcher>, exceptions: bool| {
            let patterns = matcher.iter().flat_map(Matcher::patterns);
            patterns.filter(|pattern| pattern.is_exception() == exceptions).all(is_plain)
        };
        Ok(Self {
            plain_includes: plain(&include, false),
            plain_exceptions: plain(&exclude, true),
            include,
            exclude,
            only: None,
        })
    }

    /// Lets nothing pass but these names and what they link to under `root`. A name is no pattern, and a directory's
    /// name gives nothing away.
    pub(crate) fn only(self, root: &Path, names: &[Vec<u8>]) -> Result<Self, Error> {
        Ok(Self { only: Some(follow::links(root, names)?), ..self })
    }

    /// Judges `path`. `parent` is what its directory got, `None` at the root; `matched`, given for a directory
    /// alone, receives what its own children need.
    pub(crate) fn judge(
        &self,
        path: &[u8],
        parent: Option<&DirMatch>,
        mut matched: Option<&mut DirMatch>,
    ) -> Result<Verdict, Invalid> {
        let is_directory = matched.is_some();
        if self.only.as_ref().is_some_and(|only| !may_send(only, path, is_directory)) {
            return Ok(PASS_OVER);
        }
        let mut send = true;
        if let Some(include) = &self.include {
            let inherited = parent.map(|parent| &parent.include);
            if !include.matches_within(path, inherited, matched.as_deref_mut().map(|matched| &mut matched.include))? {
                if is_directory && self.plain_includes && !reaches_into(include, false, path) {
                    return Ok(PASS_OVER);
                }
                send = false;
            }
        }
        if let Some(exclude) = &self.exclude {
            let inherited = parent.map(|parent| &parent.exclude);
            if exclude.matches_within(path, inherited, matched.map(|matched| &mut matched.exclude))? {
                if is_directory && self.plain_exceptions && !reaches_into(exclude, true, path) {
                    return Ok(PASS_OVER);
                }
                send = false;
            }
        }
        Ok(Verdict { send, descend: true })
    }
}

/// A file by its name, a directory only on the way to one.
fn may_send(only: &BTreeSet<Vec<u8>>, path: &[u8], is_directory: bool) -> bool {
    if !is_directory {
        return only.contains(path);
    }
    only.iter().any(|inner| inner.strip_prefix(path).is_some_and(|rest| rest.first() == Some(&b'/')))
}

/// Whether a pattern of the kind names something below `directory`.
fn reaches_into(matcher: &Matcher, exceptions: bool, directory: &[u8]) -> bool {
    let patterns = matcher.patterns().iter().filter(|pattern| pattern.is_exception() == exceptions);
    patterns
        .map(without_trailing_glob)
        .any(|text| text.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest[0] == b'/'))
}

fn is_plain(pattern: &Pattern) -> bool {
    !without_trailing_glob(pattern).iter().any(|byte| b"*[]?^\\".contains(byte))
}

fn without_trailing_glob(pattern: &Pattern) -> &[u8] {
    let text = pattern.text();
    let text = text.strip_suffix(b"/**").unwrap_or(text);
    text.strip_suffix(b"/*").unwrap_or(text)
}
