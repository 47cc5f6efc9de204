//! What an engine is and can do, asked once per connection.

use std::sync::{Arc, Mutex};

use remora::{
    engine::{Engine, State},
    model::{EngineKind, FailureKind, ImageStore},
};

use super::{
    dockerd::Dockerd,
    fake::BuildKit,
    rig::{Rig, request, soon},
    socket::Socket,
};

/// Notes the paths that a dockerd is asked for.
fn noting(dockerd: Dockerd) -> (Dockerd, Arc<Mutex<Vec<String>>>) {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&paths);
    let dockerd = dockerd.rest(move |asked| {
        noted.lock().unwrap().push(format!("{} {}", asked.method, asked.path));
        async { None }
    });
    (dockerd, paths)
}

#[tokio::test]
async fn a_buildkitd_keeps_no_images() {
    let rig = Rig::new(BuildKit::new()).await;
    let found = &rig.capabilities;
    assert_eq!((found.kind, found.image_store, found.api_version.as_str()), (EngineKind::Buildkitd, None, ""));
    assert_eq!((found.version.as_str(), found.storage_driver.as_str()), ("v0.99.0", "overlayfs"));
    assert_eq!(found.platforms, ["linux/amd64", "linux/arm/v7"]);
    assert!(found.exporters.contains(&"image") && !found.exporters.contains(&"moby"));
    assert!(found.cache_exports.contains(&"registry"));
}

#[tokio::test]
async fn a_graphdriver_store_is_not_taken_for_containerds() {
    let rig = Rig::new(Dockerd::graphdriver(BuildKit::new())).await;
    let found = &rig.capabilities;
    assert_eq!((found.kind, found.image_store), (EngineKind::Dockerd, Some(ImageStore::Graphdriver)));
    assert_eq!((found.version.as_str(), found.api_version.as_str()), ("99.0", "1.51"));
    assert_eq!(found.storage_driver, "overlay2");
    assert!(!found.exporters.contains(&"image"));
    assert_eq!(found.cache_exports, ["inline"]);
}

#[tokio::test]
async fn containerds_store_is_known_by_its_driver_type() {
    let rig = Rig::new(Dockerd::containerd(BuildKit::new())).await;
    let found = &rig.capabilities;
    assert_eq!((found.kind, found.image_store), (EngineKind::Dockerd, Some(ImageStore::Containerd)));
    assert!(found.exporters.contains(&"image") && found.cache_exports.contains(&"registry"));
}

#[tokio::test]
async fn a_docker_before_25_is_not_given_a_cache_that_lies_as_an_image() {
    for (api, reads) in [("1.41", false), ("1.43", false), ("1.44", true), ("1.51", true)] {
        let rig = Rig::new(Dockerd { api, ..Dockerd::graphdriver(BuildKit::new()) }).await;
        assert_eq!(rig.capabilities.cache_manifests, reads, "{api}");
    }
    assert!(Rig::new(BuildKit::new()).await.capabilities.cache_manifests);
}

#[tokio::test]
async fn an_engine_without_git_is_not_sent_a_git_context() {
    for (text, git) in [
        ("failed to fetch: connection refused", true),
        (r#"exec: "git": executable file not found in $PATH"#, false),
        ("unknown scheme git", false),
    ] {
        assert_eq!(Rig::new(BuildKit::new().git(text)).await.capabilities.git, git, "{text}");
    }
}

#[tokio::test]
async fn a_docker_whose_socket_speaks_grpc_is_spared_the_deprecated_hijack() {
    let (dockerd, paths) = noting(Dockerd { api: "1.53", native: true, ..Dockerd::containerd(BuildKit::new()) });
    let rig = Rig::new(dockerd).await;
    assert_eq!(rig.capabilities.kind, EngineKind::Dockerd);
    rig.build(&request()).await.0.unwrap();
    assert!(!paths.lock().unwrap().iter().any(|path| path.contains("/grpc")), "{paths:?}");
}

#[tokio::test]
async fn a_new_docker_without_native_grpc_is_hijacked_all_the_same() {
    let (dockerd, paths) = noting(Dockerd { api: "1.53", ..Dockerd::containerd(BuildKit::new()) });
    let rig = Rig::new(dockerd).await;
    rig.build(&request()).await.0.unwrap();
    let hijacked = paths.lock().unwrap().iter().filter(|path| *path == "POST /grpc").count();
    assert_eq!(hijacked, 2, "once to look, once to build");
}

#[tokio::test]
async fn a_docker_before_api_1_53_is_never_asked_for_native_grpc() {
    // It would be taken here, so a build that used it would not be hijacked.
    let (dockerd, paths) = noting(Dockerd { api: "1.52", native: true, ..Dockerd::graphdriver(BuildKit::new()) });
    Rig::new(dockerd).await;
    assert!(paths.lock().unwrap().iter().any(|path| path == "POST /grpc"));
}

#[tokio::test]
async fn a_docker_without_buildkit_is_told_apart_from_one_that_is_not_there() {
    let socket = Socket::listening(Dockerd { no_grpc: 404, ..Dockerd::graphdriver(BuildKit::new()) });
    let mut engine = Engine::connect(socket.url.clone());
    let failure = soon(async {
        loop {
            engine.changed().await;
            if let State::Absent(failure) = engine.state() {
                return failure;
            }
        }
    })
    .await;
    assert_eq!(failure.kind, FailureKind::Engine);
    assert!(failure.what.contains("answered 404 to /grpc"), "{failure:?}");
    assert!(failure.next.contains("Docker 20.10 or later"), "{failure:?}");
}
