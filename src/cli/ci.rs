//! What the CI says of this job: a fixed list of environment variables, and nothing else of the environment.

use std::{collections::BTreeMap, ffi::OsString, fmt::Write as _, os::unix::ffi::OsStrExt as _};

use crate::model::{CI_VARIABLES, ci_variable};

/// Those of [`CI_VARIABLES`] that are set and that an agent would take.
pub(super) fn variables() -> BTreeMap<String, String> {
    read(|name| std::env::var_os(name))
}

fn read(variable: impl Fn(&str) -> Option<OsString>) -> BTreeMap<String, String> {
    let read = |name: &&str| Some(((*name).to_owned(), ci_variable(name, &text(&variable(name)?))?));
    CI_VARIABLES.iter().filter_map(read).collect()
}

/// Git takes any byte from 0x80 on in the name of a branch. One that is no UTF-8 becomes `\xNN`, which cannot be the name
/// of another branch, for git takes no backslash; so do those that terminals take for controls.
fn text(value: &OsString) -> String {
    let mut text = String::new();
    for chunk in value.as_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\u{80}'..='\u{9f}' => escape(&mut text, letter.encode_utf8(&mut [0; 2]).as_bytes()),
                _ => text.push(letter),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use crate::model::LONGEST_SCOPE;

    #[test]
    fn what_a_ci_says_is_read_and_what_nobody_needs_is_not() {
        let read = read(|name| {
            assert!(CI_VARIABLES.contains(&name), "{name} is nobody's business");
            let value = match name {
                "GITLAB_CI" => "true".to_owned(),
                "CI_COMMIT_REF_NAME" => "x".repeat(LONGEST_SCOPE + 1),
                "CI_COMMIT_TAG" => String::new(),
                "BUILDKITE_REPO" => "https://user:secret@h.example/a.git".to_owned(),
                _ => return None,
            };
            Some(value.into())
        });
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("BUILDKITE_REPO", "https://h.example/a.git"), ("GITLAB_CI", "true")]);
    }

    #[test]
    fn a_branch_may_have_every_byte_that_git_takes() {
        let legal: Vec<u8> = (0x21..=0xff).filter(|byte| !b"~^:?*[\\\x7f".contains(byte)).cycle().take(300).collect();
        let branch = |bytes: &[u8]| {
            let value = OsString::from_vec(bytes.to_vec());
            read(|name| (name == "BRANCH_NAME").then(|| value.clone())).remove("BRANCH_NAME")
        };
        assert!(branch(&legal).is_some_and(|read| read.starts_with("!\"#$%&'()+,-./0") && read.contains("\\x80")));
        let names: [&[u8]; 6] =
            [b"caf\xe9", b"caf\xe8", "café".as_bytes(), b"caf\xc3", "a\u{85}".as_bytes(), "a\u{86}".as_bytes()];
        for (index, name) in names.iter().enumerate() {
            assert!(branch(name).is_some(), "{name:?}");
            assert!(names[..index].iter().all(|other| branch(other) != branch(name)), "{name:?}");
        }
        assert_eq!(branch("🦀".repeat(300).as_bytes()), Some("🦀".repeat(300)), "300 letters of four bytes");
        assert_eq!(branch(b"a\nb"), None, "what git does not take");
    }
}
