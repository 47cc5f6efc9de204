//! An engine that breaks the rules harms nobody but its own build, and neither does who may write to the context.

use super::*;

/// Opens the context, which holds one file, and reads every stat.
async fn walked(root: &Path) -> (Transfer, Problems) {
    write(root, b"file", &[7; 1000]);
    let attachables = lending(root);
    let problems = attachables.problems.clone();
    let mut transfer = Engine::connect(attachables).await.open(&Ask::context()).await.unwrap();
    while transfer.next().await.unwrap().stat.is_some() {}
    (transfer, problems)
}

/// How the call ends, whatever is still sent before.
async fn end(mut transfer: Transfer) -> Status {
    loop {
        if let Err(status) = transfer.next().await {
            return status;
        }
    }
}

#[tokio::test]
async fn asking_for_a_file_again_and_again_ends_the_transfer_and_fills_no_memory() {
    let root = tempfile::tempdir().unwrap();
    let (transfer, problems) = walked(root.path()).await;
    for _ in 0..2 {
        transfer.send(Kind::Req, 0).await;
    }
    let status = end(transfer).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "the engine asked for file 0, a second time");
    assert_eq!(problems.list()[0].what, status.message());
}

#[tokio::test]
async fn a_packet_larger_than_any_request_is_not_taken_into_memory() {
    let root = tempfile::tempdir().unwrap();
    let (transfer, _) = walked(root.path()).await;
    let data = Bytes::from(vec![b'x'; 65 * 1024]);
    transfer.requests.send(Packet { kind: Kind::Err.into(), data, ..Packet::default() }).await.unwrap();
    assert_eq!(end(transfer).await.code(), Code::OutOfRange);
}

#[tokio::test]
async fn the_reason_of_an_engine_that_gives_up_ends_the_transfer() {
    let root = tempfile::tempdir().unwrap();
    let (transfer, _) = walked(root.path()).await;
    let data = Bytes::from_static(b"no space left on device");
    transfer.requests.send(Packet { kind: Kind::Err.into(), data, ..Packet::default() }).await.unwrap();
    assert_eq!(end(transfer).await.message(), "error from receiver: no space left on device");
}

/// Not hostile: a `.dockerignore` of a large repository. Each line is a header of the call.
#[tokio::test]
async fn a_dockerignore_of_two_thousand_lines_is_understood() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), b"kept", b"");
    write(root.path(), b"ignored", b"");
    let exclude = std::iter::repeat_n("some/directory/that/is/not/there", 2000).chain(["ignored"]).collect();
    let received = Engine::connect(lending(root.path())).await.sync(Ask { exclude, ..Ask::context() }).await.unwrap();
    assert_eq!(received.paths(), ["kept"]);
}

/// A client that runs as root, and a step before it that left a process behind.
#[tokio::test]
async fn a_directory_swapped_for_a_link_before_it_is_read_sends_nothing_from_outside() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(root.path(), b"etc/deep/shadow", b"harmless");
    write(outside.path(), b"deep/shadow", b"a secret");
    let attachables = lending(root.path());
    let problems = attachables.problems.clone();
    let mut transfer = Engine::connect(attachables).await.open(&Ask::context()).await.unwrap();
    while transfer.next().await.unwrap().stat.is_some() {}
    std::fs::rename(root.path().join("etc"), root.path().join("moved")).unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("etc")).unwrap();
    transfer.send(Kind::Req, 2).await;
    let packet = transfer.next().await.unwrap();
    let reason = String::from_utf8_lossy(&packet.data).into_owned();
    assert_eq!((packet.kind(), &problems.list()[0].what), (Kind::Err, &reason));
    assert!(reason.starts_with("cannot read ") && reason.contains("etc/deep/shadow"), "{reason}");
}
