//! What goes wrong is told, and never ends as a wrong image.

use super::*;

/// The reason that the engine got, and the same for the caller.
async fn failure(root: &Path, ask: Ask) -> String {
    let attachables = lending(root);
    let problems = attachables.problems.clone();
    let Err(Failed::Told(reason)) = Engine::connect(attachables).await.sync(ask).await else {
        panic!("the engine was not told")
    };
    let kept = problems.list();
    assert_eq!(kept[0].what, reason, "the caller prints what the engine was told");
    assert!(!kept[0].next.is_empty());
    assert_eq!(reason.lines().count(), 1);
    reason
}

/// Begins a transfer, and hands over once every stat has come, before any content is asked for.
async fn walked(root: &Path) -> (Transfer, Problems, u32) {
    let attachables = lending(root);
    let problems = attachables.problems.clone();
    let mut transfer = Engine::connect(attachables).await.open(&Ask::context()).await.unwrap();
    let mut count = 0;
    while transfer.next().await.unwrap().stat.is_some() {
        count += 1;
    }
    (transfer, problems, count)
}

async fn told(transfer: &mut Transfer) -> String {
    loop {
        let packet = transfer.next().await.expect("an ERR before the end");
        if packet.kind() == Kind::Err {
            let status = transfer.packets.message().await.unwrap_err();
            assert_eq!(status.code(), Code::FailedPrecondition);
            return String::from_utf8_lossy(&packet.data).into_owned();
        }
    }
}

#[tokio::test]
async fn a_directory_that_does_not_exist_is_named() {
    let root = tempfile::tempdir().unwrap();
    let reason = failure(&root.path().join("missing"), Ask::context()).await;
    assert!(reason.contains("missing") && reason.contains("No such file"), "{reason}");
}

#[tokio::test]
async fn a_file_in_place_of_a_directory_is_named() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), b"file", b"");
    let reason = failure(&root.path().join("file"), Ask::context()).await;
    assert!(reason.contains("file") && reason.contains("Not a directory"), "{reason}");
}

#[tokio::test]
async fn a_broken_pattern_is_named() {
    let root = tempfile::tempdir().unwrap();
    for pattern in ["!", "[a"] {
        let reason = failure(root.path(), Ask { exclude: vec![pattern], ..Ask::context() }).await;
        assert!(reason.contains(&format!("\"{pattern}\"")), "{reason}");
    }
}

#[tokio::test]
async fn an_unknown_directory_is_refused() {
    let engine = Engine::connect(Attachables::default()).await;
    let Err(Failed::Status(status)) = engine.sync(Ask::context()).await else { panic!("it was not refused") };
    assert_eq!(status.code(), Code::NotFound);
}

/// Root may read everything, so a file that fails to open must be something else: a link that took its place.
#[tokio::test]
async fn a_file_that_cannot_be_opened_fails_the_transfer_and_is_not_sent_as_empty() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), b"deep/secret", b"content");
    let (mut transfer, problems, count) = walked(root.path()).await;
    assert_eq!(count, 2);
    std::fs::remove_file(root.path().join("deep/secret")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.path().join("deep/secret")).unwrap();
    transfer.send(Kind::Req, 1).await;
    let reason = told(&mut transfer).await;
    assert!(reason.starts_with("cannot read ") && reason.contains("deep/secret"), "{reason}");
    assert_eq!(problems.list()[0].what, reason);
}

#[tokio::test]
async fn a_file_that_vanishes_or_shrinks_fails_the_transfer() {
    let root = tempfile::tempdir().unwrap();
    for (expected, harm) in [
        ("vanished", (|place| std::fs::remove_file(place)) as fn(&Path) -> std::io::Result<()>),
        ("had 7 bytes, and now has 2", |place| std::fs::write(place, "co")),
    ] {
        write(root.path(), b"file", b"content");
        let (mut transfer, problems, _) = walked(root.path()).await;
        harm(&root.path().join("file")).unwrap();
        transfer.send(Kind::Req, 0).await;
        let reason = told(&mut transfer).await;
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(problems.list().len(), 1);
    }
}

/// `remora build . | tee build.log` writes into its own context.
#[tokio::test]
async fn a_log_that_grows_is_sent_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), b"build.log", b"one\n");
    let (mut transfer, problems, _) = walked(root.path()).await;
    write(root.path(), b"build.log", b"one\ntwo\n");
    transfer.send(Kind::Req, 0).await;
    assert_eq!(transfer.next().await.unwrap().data, Bytes::from_static(b"one\n"));
    assert_eq!(transfer.next().await.unwrap().data, Bytes::new());
    transfer.send(Kind::Fin, 0).await;
    assert_eq!(transfer.next().await.unwrap().kind(), Kind::Fin);
    assert!(problems.list().is_empty());
}

#[tokio::test]
async fn an_engine_that_asks_for_what_was_not_sent_is_told() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), b"directory/file", b"");
    for id in [0, 2] {
        let (mut transfer, ..) = walked(root.path()).await;
        transfer.send(Kind::Req, id).await;
        assert!(told(&mut transfer).await.contains(&format!("file {id}")));
    }
}

/// An engine whose protobuf refuses the name does not say which it was.
#[tokio::test]
async fn a_name_that_an_engine_may_refuse_is_remembered() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), b"caf\xe9", b"");
    let (_transfer, problems, _) = walked(root.path()).await;
    assert!(problems.list().is_empty(), "nothing is wrong yet");
    assert!(problems.odd_name().unwrap().what.contains("caf\\xe9"));
}
