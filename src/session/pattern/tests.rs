//! The tables hold what Docker's own matcher answers; it was asked.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// Whether `path` is ignored, found out on the way down from the root, as a walk does.
fn ignored(patterns: &[&str], path: &str) -> bool {
    let matcher = Matcher::new(patterns).unwrap();
    descend(&matcher, path.as_bytes()).unwrap()
}

fn descend(matcher: &Matcher, path: &[u8]) -> Result<bool, Invalid> {
    let ends = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at).chain([path.len()]);
    let mut parent: Option<Matched> = None;
    let mut verdict = false;
    for end in ends {
        let mut own = Matched::default();
        verdict = matcher.matches_within(&path[..end], parent.as_ref(), Some(&mut own))?;
        parent = Some(own);
    }
    Ok(verdict)
}

#[test]
fn dockerignore_files_mean_what_docker_says_they_mean() {
    for (patterns, yes, no) in [
        // Anchored at the root, unlike gitignore.
        (&["node_modules"][..], &["node_modules", "node_modules/a/b"][..], &["web/node_modules", "node_modules2"][..]),
        (&["**/node_modules"], &["node_modules", "web/node_modules/a"], &["xnode_modules"]),
        (&["*/temp*"], &["a/temporary", "a/temp/x"], &["temp", "a/b/temp"]),
        (&["temp?"], &["tempa", "tempb/x"], &["temp", "tempab", "temp/"]),
        (&["*.md"], &["README.md"], &["docs/README.md", "a.mdx"]),
        (&["**/*.go"], &["a.go", "x/y/a.go"], &["a.gox", "go"]),
        (&["docs/**"], &["docs/a", "docs/a/b"], &["docs", "docs2/a"]),
        (&["a/**/z"], &["a/z", "a/b/z", "a/b/c/z/more"], &["a", "az", "b/a/z"]),
        (&["**"], &["a", "a/b"], &[]),
        (&["*"], &["a", "a/b"], &[]),
        // The last match wins, and an exception reaches into what is ignored.
        (&["*", "!src"], &["a", "a/src"], &["src", "src/a/b"]),
        (&["*.md", "!README*.md", "README-secret.md"], &["a.md", "README-secret.md"], &["README-all.md", "b/a.md"]),
        (&["!README.md", "*.md"], &["README.md"], &["a"]),
        (&["a", "!a/b", "a/b/c"], &["a", "a/x", "a/b/c"], &["a/b", "a/b/d"]),
        (&["**", "!**/*.rs"], &["a", "x/a.py"], &["a.rs", "x/y/a.rs"]),
        (&["a", "!a"], &[], &["a", "a/b"]),
        // Cleaned first.
        (&["d/../foo"], &["foo"], &["d/foo", "d"]),
        (&["foo/", " bar\t", "./baz/."], &["foo", "bar", "baz/x"], &["foo2"]),
        (&["", "  "], &[], &["a"]),
        (&["/foo"], &[], &["foo"]),
        // Classes and escapes.
        (&["[a-c]x"], &["ax", "cx"], &["dx", "x"]),
        (&["[^a-c]x"], &["dx", "/x"], &["ax"]),
        (&["\\*a"], &["*a"], &["ba"]),
        (&["a\\?"], &["a?"], &["ab"]),
        (&["caf?"], &["caf\u{e9}"], &["caf", "cafee"]),
        (&["a.b"], &["a.b"], &["axb"]),
        (&["a+(b)$*"], &["a+(b)$", "a+(b)$x"], &["aab"]),
        // Accidents of Docker's translation to regular expressions, kept since they decide what is in an image.
        (&["a|b*"], &["a", "ax/y", "x/b1", "b"], &["xa"]),
        (&["x{2}*"], &["xx", "xxx"], &["x", "x{2}"]),
        (&["[*]"], &["]", "[]", "^^]"], &["*", "a"]),
        (&["\\d*"], &["1", "12"], &["d"]),
        (&["a^b*"], &[], &["a^b"]),
        (&["**foo"], &["foo", "xfoo", "a/xfoo"], &["foox"]),
        (&["foo**"], &["foo", "foox", "foo/x"], &["xfoo"]),
        (&["***"], &["a", "a/b"], &[]),
        (&["**/foo/**"], &["foo/a", "x/foo/a/b"], &["foo", "x/foo"]),
        (&["a/b**c"], &["a/bc", "a/bx/c", "a/b/c"], &["a/bxc", "a/b"]),
    ] {
        for path in yes {
            assert!(ignored(patterns, path), "{patterns:?} should match {path:?}");
        }
        for path in no {
            assert!(!ignored(patterns, path), "{patterns:?} should not match {path:?}");
        }
    }
}

#[test]
fn a_parent_may_match_where_the_path_alone_is_asked() {
    let matcher = Matcher::new(["a/b", "!a/b/c"]).unwrap();
    assert!(matcher.matches(b"a/b/x").unwrap());
    assert!(!matcher.matches(b"a/b/c/d").unwrap());
    assert!(!matcher.matches(b"a").unwrap());
}

/// On the way down, an exception that had nothing to take back at the parent is not seen by the children.
#[test]
fn the_way_down_and_the_path_alone_differ_as_they_do_in_docker() {
    let matcher = Matcher::new(["d/f", "!d"]).unwrap();
    assert!(descend(&matcher, b"d/f").unwrap());
    assert!(!matcher.matches(b"d/f").unwrap());
}

#[test]
fn bytes_that_are_not_utf_8_match_like_any_character() {
    let matches = |pattern: &[u8], path: &[u8]| Matcher::new([pattern]).unwrap().matches(path).unwrap();
    assert!(matches(b"caf?", b"caf\xe9"));
    assert!(matches(b"*.txt", b"\xff\xfe.txt"));
    assert!(matches(b"caf\xe9", b"caf\xe9"));
    assert!(!matches(b"caf\xe9", b"caf\xe8"));
    // Once a pattern is a regular expression, all such bytes are the same character.
    assert!(matches(b"caf\xe9*", b"caf\xe8"));
}

#[test]
fn what_cannot_be_a_pattern_is_named() {
    for pattern in ["!", " ! ", "[", "[a", "a[]", "[]a]", "a\\"] {
        let error = Matcher::new(["fine", pattern]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(&pattern.escape_default().to_string()), "{pattern:?}: {error:?}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn a_pattern_that_means_nothing_fails_once_it_is_asked() {
    for pattern in ["[z-a]", "\\y*", "a{2}{3}*", "a{2000}*", "[[:nope:]]", "\\pL*"] {
        let matcher = Matcher::new(["!never", pattern]).unwrap();
        let error = matcher.matches(b"a").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(&pattern.escape_default().to_string()), "{pattern:?}: {error:?}");
    }
    let unasked = Matcher::new(["!\\y*"]).unwrap();
    assert!(!unasked.matches(b"a").unwrap());
}

#[test]
fn no_pattern_takes_exponential_time() {
    let pattern = "*a".repeat(200) + "b";
    let path = "a".repeat(4000) + "b";
    assert!(Matcher::new([&pattern]).unwrap().matches(path.as_bytes()).unwrap());
    let pattern = "**/*a".repeat(50) + "b";
    assert!(!Matcher::new([&pattern]).unwrap().matches("a/".repeat(1000).as_bytes()).unwrap());
    assert!(Matcher::new(["a{1000}".repeat(500) + "*"]).unwrap().matches(b"a").is_err(), "a program without bounds");
}

proptest! {
    #[test]
    fn no_pattern_and_no_path_makes_it_panic(
        patterns in prop::collection::vec("[a*?\\[\\]^!|{}(),0-9/.\\\\dQEbx:é-]{0,12}", 0..4),
        path in "[a-c/.0-9é]{0,12}",
    ) {
        if let Ok(matcher) = Matcher::new(&patterns) {
            let _ = descend(&matcher, path.as_bytes());
            let _ = matcher.matches(path.as_bytes());
        }
    }

    #[test]
    fn a_path_matches_its_own_name_and_what_is_in_it(path in "[a-z0-9_é ]*[a-z](/[a-z.]*[a-z]){0,3}", below in "[a-z]{1,4}") {
        prop_assume!(clean(path.trim().as_bytes()) == path.as_bytes());
        let (inner, exception) = (format!("{path}/{below}"), format!("!{path}"));
        let (shifted, anywhere) = (format!("{below}/{path}"), format!("**/{path}"));
        prop_assert!(ignored(&[&path], &path));
        prop_assert!(ignored(&[&path], &inner));
        prop_assert!(!ignored(&[&path, &exception], &path));
        prop_assert!(ignored(&[&anywhere], &shifted));
        prop_assert!(ignored(&["*"], &shifted));
    }

    #[test]
    fn quick_shapes_and_regular_expressions_agree(
        head in "[a-c]{0,2}", tail in "[a-c]{0,2}", path in "[a-c]{0,3}(/[a-c]{1,2}){0,2}",
    ) {
        // A class of one letter forces the slow way without changing the meaning.
        for (quick, slow) in [
            (format!("x{head}/{tail}"), format!("[x]{head}/{tail}")),
            (format!("x{head}**"), format!("[x]{head}**")),
        ] {
            let path = format!("x{path}");
            prop_assert_eq!(ignored(&[&quick], &path), ignored(&[&slow], &path), "{} and {} on {}", quick, slow, path);
        }
    }
}
