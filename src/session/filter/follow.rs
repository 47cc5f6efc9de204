//! Follow paths: which symlinks a COPY needs, so that both the link and what it points to are sent.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::super::path::{base, clean, join, parent};
use super::super::pattern::glob;

/// The paths under `root` to include so that `wanted` can be read, links resolved as if `root` were `/`. `None` where
/// that is everything.
pub(super) fn resolve(root: &Path, wanted: &[Vec<u8>]) -> io::Result<Option<Vec<Vec<u8>>>> {
    Ok(dedupe(all(root, wanted, true)?))
}

/// The paths under `root` that must be sent so that the files `names` can be read: they themselves, and every link and
/// file that they lead to.
pub(super) fn links(root: &Path, names: &[Vec<u8>]) -> io::Result<BTreeSet<Vec<u8>>> {
    all(root, names, false)
}

fn all(root: &Path, wanted: &[Vec<u8>], globbing: bool) -> io::Result<BTreeSet<Vec<u8>>> {
    let mut resolved = BTreeSet::new();
    // A stack, last in first out, since a chain of links may be longer than a thread's stack.
    let mut open: Vec<Vec<u8>> = wanted.iter().rev().cloned().collect();
    while let Some(path) = open.pop() {
        // The root has no parent: `..` leads from it to itself, and never to the disk outside.
        let path = join(b"/", &path).split_off(1);
        let mut end = 0;
        loop {
            end += path[end..].iter().position(|&byte| byte == b'/').unwrap_or(path.len() - end);
            let current = clean(&path[..end]);
            let rest = path.get(end + 1..).unwrap_or_default();
            let targets = targets(root, &current, globbing)?;
            if (rest.is_empty() || !targets.is_empty()) && !resolved.insert(current) {
                break;
            }
            if !targets.is_empty() {
                open.extend(targets.iter().rev().map(|target| join(target, rest)));
                break;
            }
            if rest.is_empty() {
                break;
            }
            end += 1;
        }
    }
    Ok(resolved)
}

/// Without what lies below another path of the list; `None` where the root itself is in it. Meant for sorted paths, and
/// applied by Docker to unsorted ones too.
pub(super) fn dedupe(paths: impl IntoIterator<Item = Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for path in paths {
        if path == b"." {
            return None;
        }
        let last = kept.last().map(Vec::as_slice).unwrap_or_default();
        if path.strip_prefix(last).is_none_or(|rest| rest.first() != Some(&b'/')) {
            kept.push(path);
        }
    }
    Some(kept)
}

/// Where the link at `path` points, seen from the root; of all links that match, where the last part is a glob. Empty
/// where nothing there is a link.
fn targets(root: &Path, path: &[u8], globbing: bool) -> io::Result<Vec<Vec<u8>>> {
    if globbing && has_wildcard(base(path)) {
        let directory = parent(path);
        let Some(entries) = found(fs::read_dir(on_disk(root, &directory)))? else { return Ok(Vec::new()) };
        let mut names = entries.map(|entry| Ok(entry?.file_name().into_vec())).collect::<io::Result<Vec<_>>>()?;
        names.retain(|name| glob::matches(base(path), name) == Ok(true));
        names.sort_unstable();
        let mut all = Vec::new();
        for name in names {
            all.extend(targets(root, &join(&directory, &name), false)?);
        }
        return Ok(all);
    }
    if path == b"." || path == b"/" {
        return Ok(Vec::new());
    }
    let place = on_disk(root, path);
    if !found(fs::symlink_metadata(&place))?.is_some_and(|metadata| metadata.is_symlink()) {
        return Ok(Vec::new());
    }
    let Some(link) = found(fs::read_link(&place))? else { return Ok(Vec::new()) };
    let link = clean(link.as_os_str().as_bytes());
    if link.first() == Some(&b'/') {
        return Ok(vec![link]);
    }
    Ok(vec![join(b"/", &join(&parent(path), &link))])
}

fn has_wildcard(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

fn on_disk(root: &Path, path: &[u8]) -> PathBuf {
    let relative = path.iter().position(|&byte| byte != b'/').map_or(&b""[..], |start| &path[start..]);
    root.join(OsStr::from_bytes(relative))
}

/// What is not there is no error: the engine says so where it matters.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
