//! Paths as bytes, cleaned the way Go's `filepath.Clean` and `filepath.Join` do on Unix. Pure.
//!
//! File names need not be UTF-8, so nothing here is a `str`.

/// The shortest path that means the same: no `.`, no doubled or trailing slash, `..` resolved where it can be.
/// The empty path is `.`.
pub(crate) fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match parts.last() {
                Some(&last) if last != b".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

/// Both paths in one, cleaned. An empty part counts for nothing.
pub(crate) fn join(parent: &[u8], child: &[u8]) -> Vec<u8> {
    match (parent.is_empty(), child.is_empty()) {
        (true, true) => Vec::new(),
        (true, false) => clean(child),
        (false, true) => clean(parent),
        (false, false) => clean(&[parent, b"/", child].concat()),
    }
}

/// What stands before the last slash, cleaned: `.` where there is no slash.
pub(crate) fn parent(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    clean(&path[..end])
}

/// What stands after the last slash.
pub(crate) fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// The first character and its length in bytes, as Go decodes it: each byte that is not UTF-8 counts as one U+FFFD.
/// Zero long at the end.
pub(crate) fn first_char(bytes: &[u8]) -> (char, usize) {
    let Some(&lead) = bytes.first() else { return (char::REPLACEMENT_CHARACTER, 0) };
    if lead.is_ascii() {
        return (char::from(lead), 1);
    }
    let window = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(window) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or_default(),
    };
    valid.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |found| (found, found.len_utf8()))
}

/// Without Unicode's white space at both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut start = 0;
    let mut end = 0;
    let mut at = 0;
    let mut leading = true;
    while at < bytes.len() {
        let (found, length) = first_char(&bytes[at..]);
        at += length;
        if !found.is_whitespace() {
            leading = false;
            end = at;
        } else if leading {
            start = at;
        }
    }
    &bytes[start..end.max(start)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cleaned_as_docker_cleans_it() {
        for (given, cleaned) in [
            ("", "."),
            ("a//b/", "a/b"),
            ("d/../foo", "foo"),
            ("./a/.", "a"),
            ("../a", "../a"),
            ("a/../../b", "../b"),
            ("/..", "/"),
            ("//a", "/a"),
            ("!a/../b", "b"),
        ] {
            assert_eq!(clean(given.as_bytes()), cleaned.as_bytes(), "{given}");
        }
        assert_eq!(join(b"/", b"a/../../b"), b"/b");
        assert_eq!((parent(b"a/b/c"), parent(b"a"), base(b"a/b")), (b"a/b".to_vec(), b".".to_vec(), &b"b"[..]));
    }

    #[test]
    fn space_around_a_pattern_is_dropped_whatever_its_alphabet() {
        assert_eq!(trim("\u{a0} a b\t\u{2003}".as_bytes()), b"a b");
        assert_eq!(trim(b" \xff "), b"\xff");
        assert_eq!(trim(b" \t"), b"");
    }
}
