//! Everything that a directory can hold arrives as it is.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

#[tokio::test]
async fn a_directory_arrives_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    write(root.path(), b"a/file", b"content");
    write(root.path(), b"a-b", b"");
    write(root.path(), b"caf\xe9/\xff", b"not UTF-8");
    std::fs::create_dir_all(at("empty/inner")).unwrap();
    symlink("../a/file", at("empty/link")).unwrap();
    symlink("/nowhere", at("dangling")).unwrap();
    std::fs::hard_link(at("a/file"), at("z")).unwrap();
    std::fs::set_permissions(at("a/file"), PermissionsExt::from_mode(0o4751)).unwrap();
    std::fs::set_permissions(at("empty"), PermissionsExt::from_mode(0o1777)).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

    let attachables = lending(root.path());
    let counters = attachables.counters.clone();
    let received = Engine::connect(attachables).await.sync(Ask::context()).await.unwrap();

    assert_eq!(
        received.paths(),
        [
            "a",
            "a/file",
            "a-b",
            "caf\\xe9",
            "caf\\xe9/\\xff",
            "dangling",
            "empty",
            "empty/inner",
            "empty/link",
            "pipe",
            "socket",
            "z"
        ],
        "parents before children, names in byte order: the engine refuses any other",
    );
    assert_eq!(received.content[&b"a/file"[..]], b"content");
    assert_eq!(received.content[&b"caf\xe9/\xff"[..]], b"not UTF-8");
    assert_eq!(received.content[&b"a-b"[..]], b"");
    assert_eq!(received.content[&b"socket"[..]], b"", "docker build copies a socket as an empty file");
    assert!(!received.content.contains_key(&b"z"[..]), "a hard link is not sent twice");
    assert_eq!(received.stat("z").linkname, b"a/file");
    assert_eq!(received.stat("empty/link").linkname, b"../a/file");
    assert_eq!(received.stat("dangling").linkname, b"/nowhere");
    assert_eq!(received.stat("a/file").mode, mode::SETUID | 0o751);
    assert_eq!(received.stat("empty").mode, mode::DIRECTORY | mode::STICKY | 0o777);
    assert_eq!(received.stat("dangling").mode, mode::SYMLINK | 0o777);
    assert_eq!(received.stat("pipe").mode & mode::TYPE, mode::PIPE);
    assert_eq!((received.stat("a").size, received.stat("a/file").size, received.stat("dangling").size), (0, 7, 8));
    let modified = std::fs::metadata(at("a/file")).unwrap().modified().unwrap();
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(u128::try_from(received.stat("a/file").mod_time).unwrap(), since.as_nanos());
    assert!(received.stats.iter().all(|stat| (stat.uid, stat.gid) == (0, 0)), "owners would spoil the cache");
    assert_eq!((counters.files(), counters.bytes()), (4, 16));
}

#[tokio::test]
async fn extended_attributes_arrive_where_the_file_system_has_them() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), b"file", b"");
    let set = |name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.path().join("file"), name, value, rustix::fs::XattrFlags::empty())
    };
    if set("user.key", b"value\xff").is_err() {
        return;
    }
    set("user.empty", b"").unwrap();
    set("user.long", &[7; 1000]).unwrap();
    let received = Engine::connect(lending(root.path())).await.sync(Ask::context()).await.unwrap();
    let mut xattrs = received.stat("file").xattrs.clone();
    xattrs.sort_by(|one, other| one.name.cmp(&other.name));
    let user: Vec<_> = xattrs.iter().filter(|xattr| xattr.name.starts_with(b"user.")).collect();
    assert_eq!(
        user.iter().map(|xattr| xattr.name.escape_ascii().to_string()).collect::<Vec<_>>(),
        ["user.empty", "user.key", "user.long"]
    );
    assert_eq!((user[0].value.len(), &user[1].value[..], user[2].value.len()), (0, &b"value\xff"[..], 1000));
}

#[tokio::test]
async fn only_what_was_asked_for_is_sent() {
    let root = tempfile::tempdir().unwrap();
    for path in ["Dockerfile", "src/main.rs", "src/deep/lib.rs", "target/debug/app", "target/keep", "notes.md"] {
        write(root.path(), path.as_bytes(), b"x");
    }
    symlink("src/deep", root.path().join("link")).unwrap();
    let engine = Engine::connect(lending(root.path())).await;
    let paths = async |ask: Ask| engine.sync(ask).await.unwrap().paths();

    let exclude = vec!["target", "!target/keep", "*.md"];
    assert_eq!(
        paths(Ask { exclude, include: vec!["src/**/*.rs", "target"], ..Ask::context() }).await,
        ["src", "src/deep", "src/deep/lib.rs", "src/main.rs", "target", "target/keep"],
        "directories are sent only for what is in them",
    );
    assert_eq!(
        paths(Ask { follow: vec!["link/lib.rs"], ..Ask::context() }).await,
        ["link", "src", "src/deep", "src/deep/lib.rs"],
        "COPY of a path through a link needs the link and what it points to",
    );
    assert_eq!(paths(Ask { include: vec!["nothing"], ..Ask::context() }).await, Vec::<String>::new());
    assert_eq!(
        paths(Ask { follow: vec!["Dockerfile", "Dockerfile.dockerignore", "dockerfile"], ..Ask::context() }).await,
        ["Dockerfile"],
    );
}

#[tokio::test]
async fn a_hard_link_names_what_was_sent_even_if_the_first_name_is_ignored() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), b"a", b"shared");
    for name in ["b", "c"] {
        std::fs::hard_link(root.path().join("a"), root.path().join(name)).unwrap();
    }
    let engine = Engine::connect(lending(root.path())).await;
    let received = engine.sync(Ask { exclude: vec!["a"], ..Ask::context() }).await.unwrap();
    assert_eq!(received.content[&b"b"[..]], b"shared");
    assert_eq!((&received.stat("b").linkname[..], &received.stat("c").linkname[..]), (&b""[..], &b"b"[..]));
    assert_eq!(received.stat("c").size, 6, "the cache key holds the size of a hard link");
}
