//! Of the Dockerfile's directory, which may be a home, nothing is given away but what a build needs of it.

use std::os::unix::fs::symlink;

use super::*;

/// What arrives of `root` when the Dockerfile's name is `name`, whatever is asked for.
async fn arrives(root: &Path, name: &str, ask: Ask) -> Vec<String> {
    let dirs = BTreeMap::from([(
        "dockerfile".to_owned(),
        Directory::of_dockerfile(root.to_owned(), std::ffi::OsStr::from_bytes(name.as_bytes())),
    )]);
    let engine = Engine::connect(Attachables { dirs, ..Attachables::default() }).await;
    let received = engine.sync(Ask { directory: "dockerfile", ..ask }).await.unwrap();
    received.paths()
}

/// As the frontend asks.
fn frontend() -> Ask {
    Ask { follow: vec!["Dockerfile", "Dockerfile.dockerignore", "dockerfile"], ..Ask::default() }
}

#[tokio::test]
async fn a_key_beside_the_dockerfile_stays_at_home_whatever_the_engine_asks_for() {
    let root = tempfile::tempdir().unwrap();
    for path in [".ssh/id_ed25519", ".netrc", "Dockerfile", "Dockerfile.dockerignore", "Dockerfile.old", "a/Dockerfile"]
    {
        write(root.path(), path.as_bytes(), b"x");
    }
    let asks = [
        Ask::default(),
        frontend(),
        Ask { include: vec!["**"], ..Ask::default() },
        Ask { follow: vec!["."], ..Ask::default() },
        Ask { follow: vec![".ssh", ".n*", "Dockerfile*"], include: vec!["a", ".netrc"], ..Ask::default() },
        Ask { exclude: vec!["*", "!.ssh", "!Dockerfile*"], ..Ask::default() },
    ];
    for ask in asks {
        assert_eq!(arrives(root.path(), "Dockerfile", ask).await, ["Dockerfile", "Dockerfile.dockerignore"]);
    }
    let none = Ask { include: vec![".netrc"], ..Ask::default() };
    assert_eq!(arrives(root.path(), "Dockerfile", none).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_dockerfile_is_found_by_any_name_that_a_build_accepts() {
    let root = tempfile::tempdir().unwrap();
    for name in ["dockerfile", "ci.Dockerfile", "ci.Dockerfile.dockerignore", "Docker*", "Dockerxy"] {
        write(root.path(), name.as_bytes(), b"x");
    }
    assert_eq!(arrives(root.path(), "Dockerfile", frontend()).await, ["dockerfile"], "without -f, in lower case");
    let named = Ask { follow: vec!["ci.Dockerfile", "ci.Dockerfile.dockerignore"], ..Ask::default() };
    assert_eq!(arrives(root.path(), "ci.Dockerfile", named).await, ["ci.Dockerfile", "ci.Dockerfile.dockerignore"]);
    let starred = Ask { follow: vec!["Docker*"], ..Ask::default() };
    assert_eq!(arrives(root.path(), "Docker*", starred).await, ["Docker*"], "a name is no pattern");
}

#[tokio::test]
async fn a_dockerfile_that_is_a_link_arrives_with_what_it_links_to() {
    let root = tempfile::tempdir().unwrap();
    for path in ["shared/base/Dockerfile", "shared/base/secret", "shared/secret"] {
        write(root.path(), path.as_bytes(), b"x");
    }
    symlink("shared/base", root.path().join("current")).unwrap();
    symlink("current/Dockerfile", root.path().join("Dockerfile")).unwrap();
    let expected = ["Dockerfile", "current", "shared", "shared/base", "shared/base/Dockerfile"];
    for ask in [frontend(), Ask::default()] {
        assert_eq!(arrives(root.path(), "Dockerfile", ask).await, expected);
    }
}

/// `docker build` resolves links as if the directory were the root: this Dockerfile is not found there either.
#[tokio::test]
async fn a_link_out_of_the_directory_gives_nothing_away() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), b"outside/Dockerfile", b"x");
    write(root.path(), b"inside/secret", b"x");
    let inside = root.path().join("inside");
    for target in ["../outside/Dockerfile".into(), root.path().join("outside/Dockerfile")] {
        symlink(target, inside.join("Dockerfile")).unwrap();
        for ask in [frontend(), Ask::default()] {
            assert_eq!(arrives(&inside, "Dockerfile", ask).await, ["Dockerfile"]);
        }
        std::fs::remove_file(inside.join("Dockerfile")).unwrap();
    }
}

#[tokio::test]
async fn a_link_to_a_directory_does_not_lend_what_is_in_it() {
    let root = tempfile::tempdir().unwrap();
    for path in ["Dockerfile", "keys/one"] {
        write(root.path(), path.as_bytes(), b"x");
    }
    for target in ["keys", ".", "/", "..", "keys/.."] {
        let link = root.path().join("Dockerfile.dockerignore");
        symlink(target, &link).unwrap();
        for ask in [frontend(), Ask::default()] {
            assert_eq!(arrives(root.path(), "Dockerfile", ask).await, ["Dockerfile", "Dockerfile.dockerignore"]);
        }
        std::fs::remove_file(link).unwrap();
    }
}
