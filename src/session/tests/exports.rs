//! Exports of files, as an engine sends them, and as one that is broken or hostile would.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;
use crate::session::packet::Xattr;

const FILE: u32 = 0o644;

fn stat(path: &str, mode: u32, size: usize) -> Stat {
    Stat {
        path: path.into(),
        mode,
        size: i64::try_from(size).unwrap(),
        mod_time: 981_173_106_500_000_000,
        ..Stat::default()
    }
}

fn link(path: &str, mode: u32, to: &str) -> Stat {
    Stat { linkname: to.into(), ..stat(path, mode, 0) }
}

/// What an engine sends: each file with its content.
type Files<'a> = Vec<(Stat, &'a [u8])>;

fn file<'a>(path: &str, content: &'a str) -> (Stat, &'a [u8]) {
    (stat(path, FILE, content.len()), content.as_bytes())
}

fn directory(path: &str) -> (Stat, &'static [u8]) {
    (stat(path, mode::DIRECTORY | 0o755, 0), b"")
}

struct Client {
    engine: Engine,
    problems: Problems,
}

impl Client {
    async fn taking(place: &Path) -> Self {
        let attachables = Attachables { taker: Some(Taker::Directory(place.to_owned())), ..Attachables::default() };
        let problems = attachables.problems.clone();
        Self { engine: Engine::connect(attachables).await, problems }
    }

    async fn call(&self) -> Transfer {
        let (requests, receiver) = mpsc::channel(4096);
        let mut grpc = self.engine.grpc();
        assert!(grpc.ready().await.is_ok());
        let codec = ProstCodec::<Packet, Packet>::default();
        let request = Request::new(ReceiverStream::new(receiver));
        let response = grpc.streaming(request, PathAndQuery::from_static(methods::FILE_SEND), codec).await.unwrap();
        Transfer { requests, packets: response.into_inner() }
    }

    /// An export from beginning to end, as fsutil sends it. The most files that it was asked for at a time, or why it failed.
    async fn export(&self, files: Files<'_>) -> Result<usize, String> {
        let mut transfer = self.call().await;
        for (stat, _) in &files {
            transfer.tell(Packet { stat: Some(stat.clone()), ..Packet::default() }).await;
        }
        transfer.tell(Packet::default()).await;
        let (mut asked, mut most) = (Vec::new(), 0);
        loop {
            // It answers when it hears nothing more: as late as it may.
            let next = transfer.packets.message();
            let Ok(packet) = tokio::time::timeout(std::time::Duration::from_millis(20), next).await else {
                for id in std::mem::take(&mut asked) {
                    let (_, content) = files[id as usize];
                    for piece in content.chunks(3).chain([&b""[..]]) {
                        let data = Bytes::copy_from_slice(piece);
                        transfer.tell(Packet { kind: Kind::Data.into(), id, data, ..Packet::default() }).await;
                    }
                }
                continue;
            };
            let packet = packet.map_err(|status| status.message().to_owned())?;
            let packet = packet.expect("a FIN before the end");
            match packet.kind() {
                Kind::Req => asked.push(packet.id),
                Kind::Fin => {
                    transfer.send(Kind::Fin, 0).await;
                    assert_eq!(transfer.packets.message().await.unwrap(), None, "nothing follows a FIN");
                    return Ok(most);
                }
                Kind::Err => return Err(String::from_utf8_lossy(&packet.data).into_owned()),
                other => panic!("{other:?} from a receiver"),
            }
            most = most.max(asked.len());
        }
    }
}

impl Transfer {
    async fn tell(&self, packet: Packet) {
        let _ = self.requests.send(packet).await;
    }
}

fn read(place: &Path, name: &str) -> String {
    fs::read_to_string(place.join(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_as_they_were_sent() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join("made/here");
    let odd = Stat { path: b"d/\xff\n".to_vec(), ..stat("", mode::SETUID | 0o755, 3) };
    let mut attributed = stat("z", 0o600, 0);
    attributed.xattrs = vec![Xattr { name: b"user.a".to_vec(), value: b"b".to_vec() }];
    attributed.xattrs.push(Xattr { name: b"nobody.knows".to_vec(), value: b"c".to_vec() });
    let files = vec![
        directory("d"),
        (link("d/hard", FILE, "f"), &b""[..]),
        (odd, b"odd"),
        file("f", "hello"),
        (link("l", mode::SYMLINK | 0o777, "/nowhere/at/all"), b""),
        (stat("p", mode::PIPE | 0o620, 0), b""),
        (stat("ro", mode::DIRECTORY | 0o555, 0), b""),
        file("ro/f", "in it"),
        (attributed, b""),
    ];
    Client::taking(&place).await.export(files).await.unwrap();
    assert_eq!((read(&place, "f").as_str(), read(&place, "d/hard").as_str()), ("hello", "hello"));
    assert_eq!(fs::metadata(place.join("f")).unwrap().ino(), fs::metadata(place.join("d/hard")).unwrap().ino());
    assert_eq!(fs::read_link(place.join("l")).unwrap(), Path::new("/nowhere/at/all"));
    let odd = fs::metadata(place.join(std::ffi::OsStr::from_bytes(b"d/\xff\n"))).unwrap();
    assert_eq!(odd.mode() & 0o7777, 0o4755);
    for (name, kind, mode) in [("p", 0o010_000, 0o620), ("ro", 0o040_000, 0o555), ("d", 0o040_000, 0o755)] {
        assert_eq!(fs::symlink_metadata(place.join(name)).unwrap().mode(), kind | mode, "{name}");
    }
    for name in ["d", "f", "l", "p", "ro", "ro/f"] {
        let made = fs::symlink_metadata(place.join(name)).unwrap();
        assert_eq!((made.mtime(), made.mtime_nsec()), (981_173_106, 500_000_000), "{name}");
    }
    assert_eq!(fs::metadata(&place).unwrap().mode() & 0o777, 0o700);
    let mut value = [0; 8];
    match rustix::fs::getxattr(place.join("z"), "user.a", &mut value) {
        Ok(length) => assert_eq!(&value[..length], b"b"),
        Err(cause) => assert_eq!(cause, rustix::io::Errno::OPNOTSUPP, "this file system has none"),
    }
    fs::set_permissions(place.join("ro"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_replaced_and_nothing_else() {
    let (dir, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let place = dir.path();
    write(place, b"file", b"old");
    write(place, b"kept", b"kept");
    write(place, b"d/kept", b"kept");
    write(place, b"tree/deep/down", b"x");
    write(outside.path(), b"f", b"theirs");
    symlink(outside.path(), place.join("to-directory")).unwrap();
    symlink(outside.path().join("f"), place.join("to-file")).unwrap();
    fs::hard_link(outside.path().join("f"), place.join("shared")).unwrap();
    let files = vec![
        directory("d"),
        file("d/new", "new"),
        file("file", "new"),
        file("shared", "new"),
        directory("to-directory"),
        file("to-directory/f", "new"),
        file("to-file", "new"),
        file("tree", "new"),
    ];
    Client::taking(place).await.export(files).await.unwrap();
    for name in ["d/new", "file", "shared", "to-directory/f", "to-file", "tree"] {
        assert_eq!(read(place, name), "new", "{name}");
    }
    assert_eq!((read(place, "kept").as_str(), read(place, "d/kept").as_str()), ("kept", "kept"));
    assert_eq!(read(outside.path(), "f"), "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leads_out() {
    for name in ["../out", "/out", "..", ".", "", "a/../../out", "a//out", "a/", "./out", "a\0b"] {
        let dir = TempDir::new().unwrap();
        let client = Client::taking(&dir.path().join("in")).await;
        let failed = client.export(vec![directory("a"), file(name, "x")]).await.unwrap_err();
        assert!(failed.contains("no name below a directory"), "{name}: {failed}");
        assert_eq!(client.problems.list().len(), 1, "{name}: the caller learns nothing");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_symlink_leads_out() {
    let outside = TempDir::new().unwrap();
    write(outside.path(), b"f", b"theirs");
    let out = outside.path().to_str().unwrap();
    let through = link("a", mode::SYMLINK | 0o777, out);
    let attempts: Vec<Files<'_>> = vec![
        vec![(through.clone(), b""), file("a/f", "x")],
        vec![(through.clone(), b""), directory("a/d")],
        vec![(through.clone(), b""), (link("a/l", mode::SYMLINK | 0o777, "x"), b"")],
        vec![(through.clone(), b""), (stat("a/p", mode::PIPE | 0o600, 0), b"")],
        vec![(through.clone(), b""), (link("b", FILE, "a/f"), b"")],
        vec![file("b", "x"), (through.clone(), b""), (link("a/b", FILE, "b"), b"")],
        // Twice the same name: a directory, and then a symlink in its place.
        vec![directory("a"), (through.clone(), b""), file("a/f", "x")],
        vec![directory("a"), (through, b"")],
        // One that lay there.
        vec![file("there/f", "x")],
        vec![(link("b", FILE, "there/f"), b"")],
        vec![(link("b", FILE, "../f"), b"")],
    ];
    for attempt in attempts {
        let dir = TempDir::new().unwrap();
        symlink(outside.path(), dir.path().join("there")).unwrap();
        let names: Vec<_> = attempt.iter().map(|(stat, _)| stat.path.escape_ascii().to_string()).collect();
        let before = fs::metadata(outside.path()).unwrap();
        let failed = Client::taking(dir.path()).await.export(attempt).await;
        assert!(failed.is_err(), "{names:?}");
        let after = fs::metadata(outside.path()).unwrap();
        assert_eq!((before.mode(), before.mtime_nsec()), (after.mode(), after.mtime_nsec()), "{names:?}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "{names:?}");
        assert_eq!(read(outside.path(), "f"), "theirs", "{names:?}");
        assert_eq!(fs::metadata(outside.path().join("f")).unwrap().nlink(), 1, "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_are_asked_for_a_few_at_a_time() {
    let dir = TempDir::new().unwrap();
    let names: Vec<_> = (0..300).map(|number| format!("{number:03}")).collect();
    let most = Client::taking(dir.path()).await.export(names.iter().map(|name| file(name, name)).collect()).await;
    assert!(matches!(most, Ok(1..=256)), "{most:?}");
    assert!(names.iter().all(|name| read(dir.path(), name) == *name));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_whole_fails_the_export() {
    let dir = TempDir::new().unwrap();
    let client = Client::taking(dir.path()).await;
    let failed = client.export(vec![(stat("f", FILE, 6), b"hello")]).await.unwrap_err();
    assert!(failed.contains("5 bytes") && failed.contains("has 6"), "{failed}");
    assert_eq!(client.problems.list().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), b"file", b"");
    let client = Client::taking(&dir.path().join("file")).await;
    let failed = client.export(vec![file("f", "x")]).await.unwrap_err();
    assert!(failed.contains(dir.path().join("file").to_str().unwrap()), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_breaks_the_rules_is_told_so() {
    let data = |id| Packet { kind: Kind::Data.into(), id, data: Bytes::from_static(b"x"), ..Packet::default() };
    let sent = |stat| Packet { stat: Some(stat), ..Packet::default() };
    let fin = Packet { kind: Kind::Fin.into(), ..Packet::default() };
    for packets in [
        vec![data(0)],
        vec![sent(stat("d", mode::DIRECTORY | 0o755, 0)), data(0)],
        vec![fin],
        vec![Packet { kind: Kind::Req.into(), ..Packet::default() }],
        vec![sent(stat("f", FILE, 1)), Packet::default(), sent(stat("g", FILE, 0))],
        vec![sent(Stat { devmajor: -1, ..stat("c", mode::DEVICE | mode::CHARACTER_DEVICE | 0o600, 0) })],
    ] {
        let dir = TempDir::new().unwrap();
        let mut transfer = Client::taking(dir.path()).await.call().await;
        for packet in packets.clone() {
            transfer.tell(packet).await;
        }
        let ended = loop {
            match transfer.packets.message().await {
                Ok(Some(packet)) if packet.kind() == Kind::Req => {}
                other => break other,
            }
        };
        assert!(matches!(ended, Ok(Some(packet)) if packet.kind() == Kind::Err), "{packets:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_leaves_ends_the_call() {
    let dir = TempDir::new().unwrap();
    let Transfer { requests, mut packets } = Client::taking(dir.path()).await.call().await;
    requests.send(Packet { stat: Some(stat("f", FILE, 1)), ..Packet::default() }).await.unwrap();
    assert_eq!(packets.message().await.unwrap().unwrap().kind(), Kind::Req);
    drop(requests);
    assert!(packets.message().await.is_err());
}
