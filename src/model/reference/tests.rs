#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const SHA: &str = "sha256:9b2d1e0c7f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4";

/// The reference, completed and written out.
fn read(text: &str) -> Result<String, &'static str> {
    text.parse::<Reference>().map(|r| r.to_string()).map_err(|e| e.problem)
}

#[test]
fn short_names_are_completed_as_docker_does() {
    for (short, full) in [
        ("app", "docker.io/library/app:latest"),
        ("app:1", "docker.io/library/app:1"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/app", "docker.io/library/app:latest"),
        ("index.docker.io/app", "docker.io/library/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        // Without a slash it is a tag, not a port.
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("r.example.com/app", "r.example.com/app:latest"),
        ("r.example.com", "docker.io/library/r.example.com:latest"),
        ("Registry/app", "Registry/app:latest"),
        ("[::1]:5000/team/app:v1.2_3-x", "[::1]:5000/team/app:v1.2_3-x"),
        ("[fe80::1]/app", "[fe80::1]/app:latest"),
        ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest"),
        ("host:5000/a/b/c/d:_x", "host:5000/a/b/c/d:_x"),
    ] {
        assert_eq!(read(short).as_deref(), Ok(full), "{short}");
    }
    assert_eq!(read(&format!("app@{SHA}")).unwrap(), format!("docker.io/library/app@{SHA}"));
    assert_eq!(read(&format!("r:5/app:1@{SHA}")).unwrap(), format!("r:5/app:1@{SHA}"));
}

#[test]
fn what_docker_refuses_is_refused() {
    let id = "9b2d1e0c7f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4";
    for bad in [
        "",
        ":1",
        "/app",
        "app/",
        "a//b",
        "App",
        "team/App",
        "r.example.com/App",
        "-app",
        "app-",
        "a..b",
        "a___b",
        "a._b",
        "app:",
        "app:-x",
        "app:.x",
        "app:a b",
        "app:a:b",
        "a:b:c/d",
        "ap p",
        "äpp",
        "app:ä",
        "http://r/app",
        "a/b:c/d",
        "-r.example.com/app",
        "r..com/app",
        ":5000/app",
        "r:/app",
        "r:port/app",
        "[::1/app",
        "[x::]/app",
        "[::ffff:1.2.3.4]/app",
        "app@",
        "app@sha256",
        "app@sha256:abc",
        "@sha256:abc",
        id,
    ] {
        assert!(read(bad).is_err(), "{bad}: {:?}", read(bad));
    }
    for digest in [SHA.to_uppercase(), SHA.replace("256", "512"), format!("md5:{}", "0".repeat(32)), format!("{SHA}0")]
    {
        assert!(read(&format!("app@{digest}")).is_err(), "{digest}");
    }
    assert!(read(&format!("app@{SHA}@{SHA}")).is_err());
}

#[test]
fn lengths_are_bounded() {
    let long = |length: usize| "a".repeat(length);
    assert!(read(&format!("r.example.com/{}", long(255))).is_ok());
    assert!(read(&format!("r.example.com/{}", long(256))).is_err());
    // `library/` counts.
    assert!(read(&long(247)).is_ok());
    assert!(read(&long(248)).is_err());
    assert!(read(&format!("app:{}", long(128))).is_ok());
    assert!(read(&format!("app:{}", long(129))).is_err());
}

#[test]
fn parts_can_be_exchanged() {
    let app: Reference = format!("r:5/app:1@{SHA}").parse().unwrap();
    assert_eq!(app.with_tag("2").to_string(), "r:5/app:2");
    assert_eq!(app.with_digest(SHA).to_string(), format!("r:5/app@{SHA}"));
    assert_eq!((app.name().as_str(), app.registry(), app.repository(), app.tag()), ("r:5/app", "r:5", "app", "1"));
    assert!(read("app").unwrap().parse::<Reference>().unwrap().is_official());
    assert!(!app.is_official());
}

/// Texts of the grammar, with the parts that make them.
fn valid() -> impl Strategy<Value = (Option<String>, String, Option<String>, Option<String>)> {
    (
        proptest::option::of(
            "(localhost|[a-z0-9]{1,3}(-[a-z0-9]{1,2})?\\.[a-zA-Z]{2,3}|[A-Z][a-z]{1,4}|[a-z]{1,5}:[0-9]{1,5}|\\[::[a-f0-9]{1,4}\\](:[0-9]{1,5})?)",
        ),
        "[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}){0,2}",
        proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}"),
        proptest::option::of("(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})"),
    )
}

fn join((registry, repository, tag, digest): &(Option<String>, String, Option<String>, Option<String>)) -> String {
    let part = |sign: &str, part: &Option<String>| part.as_ref().map_or(String::new(), |part| format!("{sign}{part}"));
    let registry = registry.as_ref().map_or(String::new(), |registry| format!("{registry}/"));
    format!("{registry}{repository}{}{}", part(":", tag), part("@", digest))
}

proptest! {
    #[test]
    fn the_grammar_is_read_and_parts_are_kept(parts in valid()) {
        let text = join(&parts);
        let (registry, repository, tag, digest) = &parts;
        // A repository whose first part looks like a host is one.
        let first = repository.split('/').next().unwrap();
        if registry.is_none() && repository.contains('/') && (first.contains('.') || first == "localhost") {
            return Ok(());
        }
        let reference: Reference = text.parse().map_err(|e: InvalidReference| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(reference.registry(), registry.as_deref().unwrap_or("docker.io"));
        let official = format!("library/{repository}");
        prop_assert!([repository.as_str(), official.as_str()].contains(&reference.repository()));
        prop_assert_eq!(reference.tag(), tag.as_deref().unwrap_or("latest"));
        prop_assert_eq!(reference.digest(), digest.as_deref());
    }

    #[test]
    fn what_is_written_is_read_as_equal(text in prop_oneof!["[a-zA-Z0-9._:/@\\[\\]-]{0,24}", valid().prop_map(|parts| join(&parts))]) {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }
    }

    #[test]
    fn any_text_is_survived(text in ".{0,40}") {
        let _ = text.parse::<Reference>();
    }
}

#[test]
fn a_familiar_name_is_as_short_as_it_was_written() {
    for (text, short) in [
        ("alpine", "alpine"),
        ("docker.io/library/alpine:latest", "alpine"),
        ("alpine:3", "alpine:3"),
        ("group/app", "group/app"),
        ("r.example:5000/library/app:latest", "r.example:5000/library/app"),
    ] {
        assert_eq!(text.parse::<Reference>().unwrap().familiar(), short);
    }
}

/// In a CI such a tag is mostly a branch's name, and such a name a variable that is empty.
#[test]
fn what_a_ci_gets_wrong_is_told_as_that() {
    for tagged in ["app:feature/x", "team/app:feature/x", "r.example:5000/team/app:feature/x"] {
        assert!(read(tagged).unwrap_err().contains("a tag holds no '/'"), "{tagged}");
    }
    for empty in [":main", ":feature/x"] {
        assert!(read(empty).unwrap_err().contains("the repository is missing"), "{empty}");
    }
    assert!(read("localhost:5000/app").is_ok() && read("[::1]:5000/app").is_ok());
}
