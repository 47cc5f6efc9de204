//! The session: what BuildKit calls back for, and what the client answers through the agent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bollard_buildkit_proto::{
    fsutil::types::{Packet, packet::PacketType},
    health::{HealthCheckRequest, health_client::HealthClient},
    moby::filesync::v1::{
        CredentialsRequest, GetTokenAuthorityRequest, auth_client::AuthClient, file_sync_client::FileSyncClient,
    },
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Frame, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use remora::{model::Failure, session::Lent};
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{
    dockerd::Dockerd,
    fake::{Build, BuildKit, Seen, Session},
    rig::{Client, Rig, offer, request, soon},
    socket::Daemon,
};

/// Runs `calls` as BuildKit, in the middle of a build, and gives what came of the build.
async fn during<F>(client: &Client, calls: impl Fn(Session) -> F + Send + Sync + 'static) -> Result<(), Failure>
where
    F: Future<Output = ()> + Send + 'static,
{
    let calls = Arc::new(calls);
    let fake = BuildKit::new().make(move |build: Build| {
        let calls = Arc::clone(&calls);
        async move {
            // A test that fails in here must not hang.
            let session = build.session().await;
            tokio::spawn(calls(session)).await.map_err(|panic| Status::internal(panic.to_string()))
        }
    });
    // In the bytes of `/session`, in messages through a hijacked `/grpc`, and in messages to a buildkitd.
    let daemons: [Daemon; 3] = [
        Dockerd::graphdriver(fake.clone()).into(),
        Dockerd { no_session: 404, ..Dockerd::graphdriver(fake.clone()) }.into(),
        fake.into(),
    ];
    for daemon in daemons {
        Rig::new(daemon).await.build_with(&request(), &client.lent).await.0?;
    }
    Ok(())
}

fn packet(kind: PacketType, id: u32) -> Packet {
    Packet { r#type: kind.into(), id, ..Packet::default() }
}

/// Opens a transfer of a directory; the paths of its files, in their order.
async fn walk(session: &Session, dir: &'static str) -> (Vec<String>, mpsc::Sender<Packet>, Streaming<Packet>) {
    let (packets, sent) = mpsc::channel(4);
    let mut request = tonic::Request::new(ReceiverStream::new(sent));
    request.metadata_mut().insert("dir-name", dir.parse().unwrap());
    let mut sync = FileSyncClient::new(session.channel.clone());
    let mut received = sync.diff_copy(request).await.unwrap().into_inner();
    let mut paths = Vec::new();
    loop {
        let packet = received.message().await.unwrap().unwrap();
        assert_eq!(packet.r#type(), PacketType::PacketStat);
        match packet.stat {
            Some(stat) => paths.push(stat.path),
            None => return (paths, packets, received),
        }
    }
}

/// The content of the file with this number.
async fn content(id: u32, packets: &mpsc::Sender<Packet>, received: &mut Streaming<Packet>) -> Vec<u8> {
    packets.send(packet(PacketType::PacketReq, id)).await.unwrap();
    let mut content = Vec::new();
    loop {
        let packet = received.message().await.unwrap().unwrap();
        assert_eq!((packet.r#type(), packet.id), (PacketType::PacketData, id));
        if packet.data.is_empty() {
            return content;
        }
        content.extend(packet.data);
    }
}

#[tokio::test]
async fn the_engine_learns_what_it_may_call_and_whose_directory_it_is() {
    let client = Client::lend(&[]).await;
    let announced = during(&client, async |session| {
        let all =
            |key| session.metadata.get_all(key).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(all("x-docker-expose-session-sharedkey"), [offer().shared_key]);
        assert_eq!(all("x-docker-expose-session-name"), ["remora"]);
        let methods = all("x-docker-expose-session-grpc-method");
        assert_eq!(methods, offer().methods);
        assert!(methods.contains(&"/moby.filesync.v1.FileSync/DiffCopy".to_owned()));
    });
    announced.await.unwrap();
}

#[tokio::test]
async fn an_engine_that_asks_whether_the_client_lives_is_answered() {
    let client = Client::lend(&[]).await;
    let checked = during(&client, async |session| {
        let answer = HealthClient::new(session.channel).check(HealthCheckRequest::default()).await.unwrap();
        assert_eq!(answer.into_inner().status, 1);
    });
    checked.await.unwrap();
}

#[tokio::test]
async fn a_private_base_image_is_pulled_with_the_clients_login() {
    let config = br#"{"auths":{"r.example.com":{"auth":"YWxpY2U6c2VjcmV0"}}}"#;
    let client = Client::lend(&[("config.json", config)]).await;
    let asked = during(&client, async |session| {
        let mut auth = AuthClient::new(session.channel);
        for (host, username, secret) in [("r.example.com", "alice", "secret"), ("other.example.com", "", "")] {
            let answer = auth.credentials(CredentialsRequest { host: host.to_owned() }).await.unwrap().into_inner();
            assert_eq!((answer.username.as_str(), answer.secret.as_str()), (username, secret));
        }
    });
    asked.await.unwrap();
}

#[tokio::test]
async fn a_status_of_the_client_reaches_the_engine_as_it_is() {
    let client = Client::lend(&[("config.json", b"{")]).await;
    let asked = during(&client, async |session| {
        let mut auth = AuthClient::new(session.channel);
        let status = auth.credentials(CredentialsRequest { host: "a".to_owned() }).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().contains("config.json"), "{status:?}");
        // An engine that is told so asks for the credentials instead.
        let status = auth.get_token_authority(GetTokenAuthorityRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    });
    asked.await.unwrap();
}

#[tokio::test]
async fn a_context_arrives_byte_for_byte() {
    let large: Vec<u8> = (0..5_000_003_u32).map(|n| (n % 251) as u8).collect();
    let client = Client::lend(&[("Dockerfile", b"FROM a\n"), ("empty", b""), ("large", &large)]).await;
    let transfer = during(&client, move |session| {
        let large = large.clone();
        async move {
            let (paths, packets, mut received) = walk(&session, "context").await;
            assert_eq!(paths, ["Dockerfile", "empty", "large"]);
            assert!(content(2, &packets, &mut received).await == large, "the context was damaged on its way");
            assert_eq!(content(0, &packets, &mut received).await, b"FROM a\n");
            assert_eq!(content(1, &packets, &mut received).await, b"");
            packets.send(packet(PacketType::PacketFin, 0)).await.unwrap();
            assert_eq!(received.message().await.unwrap().unwrap().r#type(), PacketType::PacketFin);
            assert_eq!(received.message().await.unwrap(), None);
        }
    });
    transfer.await.unwrap();
    // Three times over.
    assert_eq!((client.counters.files(), client.counters.bytes()), (9, 15_000_030));
}

#[tokio::test]
async fn transfers_side_by_side_do_not_wait_for_each_other() {
    let client = Client::lend(&[("large", &vec![7; 8 << 20]), ("small", b"quick")]).await;
    let transfers = during(&client, async |session| {
        // Nobody reads the first one's bytes until the second is done.
        let (_, slow, mut later) = walk(&session, "context").await;
        slow.send(packet(PacketType::PacketReq, 0)).await.unwrap();
        let (_, packets, mut received) = walk(&session, "dockerfile").await;
        assert_eq!(content(1, &packets, &mut received).await, b"quick");
        let mut total = 0;
        loop {
            match later.message().await.unwrap().unwrap().data.len() {
                0 => break,
                length => total += length,
            }
        }
        assert_eq!(total, 8 << 20);
    });
    transfers.await.unwrap();
}

/// A client whose every answer is an endless stream; tells how many bytes were taken of it, and when it was dropped.
async fn endless() -> (Lent, watch::Receiver<usize>, Arc<Notify>) {
    const PIECE: usize = 64 << 10;
    let (near, far) = tokio::io::duplex(64 << 10);
    let (taken, watched) = watch::channel(0);
    let dropped = Arc::new(Notify::new());
    let notify = Arc::clone(&dropped);
    tokio::spawn(async move {
        let service = service_fn(move |_: Request<hyper::body::Incoming>| {
            let (taken, done) = (taken.clone(), NotifyOnDrop(Arc::clone(&notify)));
            let pieces = tokio_stream::iter(std::iter::repeat_with(move || {
                let _alive = &done;
                taken.send_modify(|taken| *taken += PIECE);
                Ok::<_, std::convert::Infallible>(Frame::data(bytes::Bytes::from(vec![0; PIECE])))
            }));
            async { Ok::<_, std::convert::Infallible>(Response::new(StreamBody::new(pieces))) }
        });
        drop(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(far), service).await);
    });
    (Lent::open(near, offer()).await.unwrap(), watched, dropped)
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Opens a call whose answer is not read.
async fn open(session: &Session) -> hyper::body::Incoming {
    let request = Request::post("/moby.filesync.v1.FileSync/DiffCopy").body(tonic::body::Body::empty()).unwrap();
    tower::ServiceExt::oneshot(session.channel.clone(), request).await.unwrap().into_body()
}

#[tokio::test]
async fn an_engine_that_does_not_read_holds_the_client_back_and_fills_no_memory() {
    slow_reader(Daemon::from).await;
    slow_reader(|fake| Dockerd::graphdriver(fake).into()).await;
}

async fn slow_reader(daemon: fn(BuildKit) -> Daemon) {
    const BOUND: usize = 8 << 20;
    let (lent, taken, _) = endless().await;
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let fake = BuildKit::new().make(move |build| {
        let (mut taken, read) = (taken.clone(), Arc::clone(&counted));
        async move {
            let session = build.session().await;
            let mut body = open(&session).await;
            for _ in 0..3 {
                // What may be on its way is; then it stands still.
                while tokio::time::timeout(Duration::from_millis(50), taken.changed()).await.is_ok() {}
                let waiting = *taken.borrow() - read.load(Ordering::Relaxed);
                if waiting > BOUND {
                    return Err(Status::internal(format!("{waiting} bytes are held")));
                }
                // And goes on as soon as somebody reads.
                let goal = read.load(Ordering::Relaxed) + 2 * BOUND;
                while read.load(Ordering::Relaxed) < goal {
                    let frame = body.frame().await.unwrap().unwrap();
                    read.fetch_add(frame.into_data().unwrap().len(), Ordering::Relaxed);
                }
            }
            Ok(())
        }
    });
    Rig::new(daemon(fake)).await.build_with(&request(), &lent).await.0.unwrap();
    assert!(read.load(Ordering::Relaxed) >= 6 * BOUND);
}

#[tokio::test]
async fn a_cancelled_build_stops_the_transfer_at_the_client() {
    let (lent, _, dropped) = endless().await;
    let reading = Arc::new(Notify::new());
    let began = Arc::clone(&reading);
    let fake = BuildKit::new().make(move |build| {
        let began = Arc::clone(&began);
        async move {
            let mut body = open(&build.session().await).await;
            began.notify_one();
            while let Some(Ok(_)) = body.frame().await {}
            std::future::pending().await
        }
    });
    let rig = Rig::new(fake.clone()).await;
    let request = request();
    tokio::select! {
        (outcome, _) = rig.build_with(&request, &lent) => panic!("{outcome:?}"),
        () = reading.notified() => {}
    }
    soon(dropped.notified()).await;
    fake.see(|seen| matches!(seen, Seen::SessionEnded).then_some(())).await;
    // The client's own session is still good for the next build.
    assert!(tokio::time::timeout(Duration::ZERO, lent.ended()).await.is_err());
}

#[tokio::test]
async fn a_client_that_is_gone_fails_the_call_and_not_the_connection() {
    let (near, far) = tokio::io::duplex(64 << 10);
    let lent = Lent::open(near, offer()).await.unwrap();
    drop(far);
    soon(lent.ended()).await;
    let fake = BuildKit::new().make(async |build| {
        let status = HealthClient::new(build.session().await.channel).check(HealthCheckRequest::default()).await;
        Err(status.unwrap_err())
    });
    let failure = Rig::new(fake).await.build_with(&request(), &lent).await.0.unwrap_err();
    assert!(failure.what.contains("the client that lends the build context is gone"), "{failure:?}");
}
