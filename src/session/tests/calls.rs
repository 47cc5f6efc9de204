//! What is not file sync.

use super::*;

#[tokio::test]
async fn the_session_says_that_it_lives() {
    let engine = Engine::connect(Attachables::default()).await;
    let answer: HealthCheckResponse = engine.unary(methods::HEALTH, HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.status, 1, "engine 20.10 ends a session that is not SERVING");
}

#[tokio::test]
async fn a_registry_gets_the_credentials_of_the_config_file() {
    let home = tempfile::tempdir().unwrap();
    // "who:secret"
    write(home.path(), b"config.json", br#"{"auths": {"registry.test:5000": {"auth": "d2hvOnNlY3JldA=="}}}"#);
    let credentials = Credentials::from_file(home.path().join("config.json"));
    let engine = Engine::connect(Attachables { credentials, ..Attachables::default() }).await;
    let ask = async |host: &str| -> Result<CredentialsResponse, Status> {
        engine.unary(methods::CREDENTIALS, CredentialsRequest { host: host.to_owned() }).await
    };
    let found = ask("registry.test:5000").await.unwrap();
    assert_eq!((found.username.as_str(), found.secret.as_str()), ("who", "secret"));
    assert_eq!(ask("elsewhere.test").await.unwrap(), CredentialsResponse::default());
}

#[tokio::test]
async fn a_broken_config_file_is_told_to_the_engine_and_to_the_caller() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), b"config.json", b"{");
    let credentials = Credentials::from_file(home.path().join("config.json"));
    let attachables = Attachables { credentials, ..Attachables::default() };
    let problems = attachables.problems.clone();
    let engine = Engine::connect(attachables).await;
    let question = CredentialsRequest { host: "r.test".to_owned() };
    let refused = engine.unary::<_, CredentialsResponse>(methods::CREDENTIALS, question).await.unwrap_err();
    assert!(refused.message().contains("config.json"), "{refused}");
    assert!(problems.list()[0].what.contains("config.json"));
    assert!(!problems.list()[0].next.is_empty());
}

#[tokio::test]
async fn what_the_client_does_not_serve_is_unimplemented() {
    let engine = Engine::connect(Attachables::default()).await;
    for method in ["/moby.filesync.v1.Auth/FetchToken", "/moby.filesync.v1.FileSync/TarStream", "/nonsense"] {
        let refused = engine.unary::<_, CredentialsResponse>(method, CredentialsRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{method}: the engine then does it itself");
    }
}

async fn export(engine: &Engine) -> Result<(), Status> {
    let mut grpc = engine.grpc();
    grpc.ready().await.map_err(|_| Status::unavailable("gone"))?;
    let messages = [vec![1; 3 << 20], vec![2; 3 << 20]].map(|data| BytesMessage { data });
    let codec = ProstCodec::<BytesMessage, BytesMessage>::default();
    let request = Request::new(tokio_stream::iter(messages));
    let response = grpc.streaming(request, PathAndQuery::from_static(methods::FILE_SEND), codec).await?;
    assert_eq!(response.into_inner().message().await?, None, "an exporter waits for the end of the call");
    Ok(())
}

#[tokio::test]
async fn an_export_ends_up_in_the_sink() {
    let (place, mut written) = tokio::io::duplex(1024);
    let engine =
        Engine::connect(Attachables { taker: Some(Taker::Archive(Sink::new(place))), ..Attachables::default() }).await;
    let mut content = vec![0; 6 << 20];
    let (sent, read) = tokio::join!(export(&engine), tokio::io::AsyncReadExt::read_exact(&mut written, &mut content));
    sent.unwrap();
    read.unwrap();
    assert!(content[..3 << 20].iter().all(|&byte| byte == 1) && content[3 << 20..].iter().all(|&byte| byte == 2));
}

#[tokio::test]
async fn an_export_without_a_sink_is_refused_and_does_not_hang() {
    let engine = Engine::connect(Attachables::default()).await;
    assert_eq!(export(&engine).await.unwrap_err().code(), Code::PermissionDenied);
}
