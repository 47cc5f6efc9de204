//! Speed and memory are bounded by the receiver.

use super::*;

#[tokio::test]
async fn many_files_and_a_large_one_arrive_whole() {
    let root = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..5_000_003_u32).map(|index| u8::try_from(index % 251).unwrap()).collect();
    write(root.path(), b"large", &large);
    for index in 0..2000 {
        write(root.path(), format!("many/{index}").as_bytes(), &large[..index]);
    }
    let received = Engine::connect(lending(root.path())).await.sync(Ask::context()).await.unwrap();
    assert_eq!(received.content[&b"large"[..]], large);
    for index in 0..2000 {
        assert_eq!(received.content[format!("many/{index}").as_bytes()], large[..index], "file {index}");
    }
}

/// A context larger than memory must not be read ahead of the network.
#[tokio::test]
async fn a_receiver_that_does_not_read_holds_the_sender_back() {
    const SIZE: u64 = 1 << 30;
    let root = tempfile::tempdir().unwrap();
    std::fs::File::create(root.path().join("sparse")).unwrap().set_len(SIZE).unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (counted, written) = counting(far);
    tokio::spawn(serve(counted, lending(root.path())));
    let mut transfer = Engine::on(near).await.open(&Ask::context()).await.unwrap();
    while transfer.next().await.unwrap().stat.is_some() {}
    transfer.send(Kind::Req, 0).await;
    let mut received = 0;
    while received < 16 << 20 {
        received += transfer.next().await.unwrap().data.len() as u64;
        let ahead = written.load(std::sync::atomic::Ordering::Relaxed).saturating_sub(received);
        assert!(ahead < 4 << 20, "{ahead} bytes were sent ahead of the receiver");
    }
}

/// h2 breaks a connection with too many small frames that nobody has read. An engine sends the description of each file in
/// a frame of its own, and the disk may be slow.
#[tokio::test]
async fn many_small_messages_may_wait() {
    const MESSAGES: usize = 50_000;
    let (place, mut written) = tokio::io::duplex(1);
    let taker = Some(Taker::Archive(Sink::new(place)));
    let engine = Engine::connect(Attachables { taker, ..Attachables::default() }).await;
    // Where a channel has room for one message, tonic puts each into a frame of its own.
    let (messages, receiver) = mpsc::channel(1);
    let filling = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            messages.send(BytesMessage { data: vec![7; 3] }).await.unwrap();
        }
    });
    let export = async {
        let mut grpc = engine.grpc();
        grpc.ready().await.map_err(|_| Status::unavailable("gone"))?;
        let codec = ProstCodec::<BytesMessage, BytesMessage>::default();
        let request = Request::new(ReceiverStream::new(receiver));
        let call = grpc.streaming(request, PathAndQuery::from_static(methods::FILE_SEND), codec);
        call.await?.into_inner().message().await
    };
    let look = async {
        while !filling.is_finished() {
            let health: Result<HealthCheckResponse, _> =
                engine.unary(methods::HEALTH, HealthCheckRequest::default()).await;
            assert!(health.is_ok(), "the session broke");
        }
        let mut content = vec![0; 3 * MESSAGES];
        tokio::io::AsyncReadExt::read_exact(&mut written, &mut content).await.unwrap();
    };
    assert_eq!(tokio::join!(export, look).0.unwrap(), None);
}

#[tokio::test]
async fn two_transfers_share_a_session() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), b"Dockerfile", b"FROM scratch");
    write(root.path(), b"data", &vec![1; 1 << 20]);
    let mut attachables = lending(root.path());
    attachables
        .dirs
        .insert("dockerfile".to_owned(), Directory::of_dockerfile(root.path().to_owned(), "Dockerfile".as_ref()));
    let engine = Engine::connect(attachables).await;
    let dockerfile = Ask { directory: "dockerfile", follow: vec!["Dockerfile"], ..Ask::default() };
    let (one, other) = tokio::join!(engine.sync(dockerfile), engine.sync(Ask::context()));
    assert_eq!(one.unwrap().paths(), ["Dockerfile"]);
    assert_eq!(other.unwrap().content[&b"data"[..]].len(), 1 << 20);
}

#[tokio::test]
async fn a_receiver_that_leaves_ends_the_transfer() {
    let root = tempfile::tempdir().unwrap();
    std::fs::File::create(root.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
    let attachables = lending(root.path());
    let sent = Arc::downgrade(&attachables.counters);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let session = tokio::spawn(serve(far, attachables));
    let engine = Engine::on(near).await;
    let mut transfer = engine.open(&Ask::context()).await.unwrap();
    while transfer.next().await.unwrap().stat.is_some() {}
    transfer.send(Kind::Req, 0).await;
    transfer.next().await.unwrap();
    drop((transfer, engine));
    // The session ends once the connection is dropped; the runtime waits for its threads, so a stuck one hangs here.
    let _ = session.await.unwrap();
    assert_eq!(sent.upgrade().map_or(0, |counters| counters.files()), 0);
}

type Counter = Arc<std::sync::atomic::AtomicU64>;

/// Counts what the sender puts on the wire.
fn counting(io: DuplexStream) -> (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static, Counter) {
    let counter = Counter::default();
    let (read, write) = tokio::io::split(io);
    let seen = counter.clone();
    let write = tokio_util::io::InspectWriter::new(write, move |bytes: &[u8]| {
        seen.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
    });
    (tokio::io::join(read, write), counter)
}
