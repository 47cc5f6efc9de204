#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn git(text: &str) -> Source {
    match Source::read(text) {
        Ok(Named::Git(source)) => source,
        Ok(_) => panic!("{text} was not taken as git"),
        Err(why) => panic!("{text}: {why}"),
    }
}

#[test]
fn a_git_context_is_named_as_buildkit_names_it() {
    for (text, url, reference, directory) in [
        ("https://h/g/r.git", "https://h/g/r.git", None, ""),
        ("https://h/g/r.git#main:a/b", "https://h/g/r.git", Some("main"), "a/b"),
        ("https://h/g/r.git#:a", "https://h/g/r.git", None, "a"),
        (
            "https://h:8443/r.git#refs/merge-requests/7/head",
            "https://h:8443/r.git",
            Some("refs/merge-requests/7/head"),
            "",
        ),
        ("https://h/r.git?branch=b&subdir=d", "https://h/r.git", Some("refs/heads/b"), "d"),
        ("https://h/r.git?tag=v1", "https://h/r.git", Some("refs/tags/v1"), ""),
        ("git@h:g/r.git#v1", "git@h:g/r.git", Some("v1"), ""),
        ("git@h:g/r", "git@h:g/r", None, ""),
        ("ssh://git@h:22/g/r#b", "ssh://git@h:22/g/r", Some("b"), ""),
        ("git://h/r", "git://h/r", None, ""),
        ("github.com/g/r", "https://github.com/g/r", None, ""),
        ("https://h/g/r#main", "https://h/g/r.git", Some("main"), ""),
    ] {
        let source = git(text);
        assert_eq!((source.url.as_str(), source.reference.as_deref()), (url, reference), "{text}");
        assert_eq!(source.directory, directory, "{text}");
    }
}

#[test]
fn a_password_is_taken_out_of_the_url() {
    let source = git("https://me:p%40ss%2Bword@h:1/r.git#b");
    assert_eq!(source.login, Some(("me".to_owned(), "p@ss+word".to_owned())));
    assert_eq!(source.name(), "https://h:1/r.git#b");
    assert_eq!((source.origin.as_str(), source.host()), ("https://h:1", "h:1"));
    assert_eq!(git("ssh://git:pw@h/r").url, "ssh://git@h/r");
}

#[test]
fn a_url_that_does_not_say_what_it_is_may_be_a_repository() {
    let Ok(Named::Perhaps(source)) = Source::read("https://h/group/repo/") else { panic!("not perhaps") };
    assert_eq!(source.url, "https://h/group/repo.git");
    for archive in ["https://h/a.tar.gz", "http://h/x/Dockerfile", "https://h/download?file=1", "https://h/"] {
        assert!(matches!(Source::read(archive), Ok(Named::Other)), "{archive}");
    }
}

#[test]
fn what_is_no_repository_that_may_be_fetched_is_none() {
    for other in [".", "/etc", "file:///etc", "ext::sh -c id", "ftp://h/r.git", "docker-image://a", "a@b", "local:x"] {
        assert!(matches!(Source::read(other), Ok(Named::Other)), "{other}");
    }
}

#[test]
fn nothing_can_be_an_option_of_git_or_of_ssh() {
    for odd in [
        "https://h/r.git#-x",
        "https://h/r.git#--upload-pack=id",
        "https://h/r.git#a:b\n",
        "https://h/r.git#a..b",
        "https://h/r.git#+a",
        "https://h/r.git#*",
        "https://h/r.git?ref=-x",
        "https://h/r.git?upload-pack=id",
        "https://h/r.git?ref=a&branch=b",
        "ssh://-oProxyCommand=id/r",
        "ssh://-oProxyCommand=id@h/r",
        "ssh://h/-r",
        "git@-oProxyCommand:r",
        "git@h:-r",
        "git@h:",
        "https://h/r.git?commit=zz",
    ] {
        assert!(Source::read(odd).is_err(), "{odd}");
    }
}

#[test]
fn a_directory_stays_in_the_repository() {
    for (text, wanted) in [("../../etc", "etc"), ("/a//b/", "a/b"), ("a/../..", ""), (".", "")] {
        assert_eq!(git(&format!("git://h/r#:{text}")).directory, wanted, "{text}");
    }
}
