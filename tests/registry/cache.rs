//! What lies at a cache ref.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use remora::{
    model::Credential,
    registry::{CacheImage, Carries, Error},
    strategy::retry::Trouble,
};
use serde_json::{Value, json};

use crate::{
    DOCKER_LIST, OCI, OCI_INDEX, alice, client,
    fake::{self, Answer, Fake},
    image::{Image, digest},
    live::{Live, Login},
    mallory, reference,
};

const AMD64: &str = "linux/amd64";

async fn look(host: &str, tag: &str, platform: &str, credential: &Credential) -> Result<Option<CacheImage>, Error> {
    client().cache_image(&reference(host, tag), credential, platform).await
}

fn why_not(found: Result<Option<CacheImage>, Error>) -> String {
    match found.unwrap().unwrap().carries {
        Carries::Nothing(why) => why,
        other => panic!("{other:?}"),
    }
}

/// A registry that has one manifest, and answers `blob` for any blob.
async fn registry_with(manifest: &Value, blob: impl Fn() -> Answer + Send + Sync + 'static) -> Fake {
    let manifest = manifest.to_string();
    Fake::start(
        move |_, request| if request.path.contains("/manifests/") { Answer::manifest(OCI, &manifest) } else { blob() },
    )
    .await
}

async fn of_image(image: &Image) -> Result<Option<CacheImage>, Error> {
    let config = image.config.to_string();
    let fake = registry_with(&image.manifest(), move || Answer::new(200, &config)).await;
    look(&fake.host, "app:1", AMD64, &Credential::Anonymous).await
}

#[tokio::test]
async fn an_image_with_inline_cache_is_found_and_pinned() {
    for login in [Login::None, Login::Password] {
        let Some(live) = Live::start(login).await else { return };
        let (image, nobody) = (Image::new(), Credential::Anonymous);
        let digest = image.put(&live, "team/app", "main").await;
        let credential = if login == Login::None { nobody } else { alice() };
        let found = look(&live.host, "team/app:main", AMD64, &credential).await.unwrap().unwrap();
        assert_eq!((&found.digest, &found.index, found.media_type.as_str()), (&digest, &None, OCI));
        assert_eq!(found.reference.to_string(), format!("{}/team/app@{digest}", live.host));
        assert_eq!(found.manifest, image.manifest().to_string());
        assert_eq!(found.created.as_deref(), Some("2026-01-02T03:04:05.6Z"));
        let Carries::Inline { config, layers } = found.carries else { panic!("{:?}", found.carries) };
        assert_eq!(config, image.config.to_string());
        assert_eq!(layers.iter().map(|l| l.size).collect::<Vec<_>>(), [7, 13]);

        assert_eq!(look(&live.host, "team/app:none", AMD64, &credential).await, Ok(None));
        assert_eq!(look(&live.host, "team/none:main", AMD64, &credential).await, Ok(None));
        if login == Login::Password {
            let error = look(&live.host, "team/app:main", AMD64, &mallory()).await.unwrap_err();
            assert_eq!(error.trouble, Trouble::Unauthorized);
        }
    }
}

#[tokio::test]
async fn an_index_gives_the_image_of_the_platform() {
    let Some(live) = Live::start(Login::None).await else { return };
    let (amd64, arm64) = (Image::new(), Image::new().with("architecture", "arm64".into()).with("variant", "v8".into()));
    let digests = [amd64.put(&live, "app", "a").await, arm64.put(&live, "app", "b").await];
    let child = |of: &Image, platform: Value| {
        let text = of.manifest().to_string();
        json!({"mediaType": OCI, "digest": digest(text.as_bytes()), "size": text.len(), "platform": platform})
    };
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        child(&arm64, json!({"os": "unknown", "architecture": "unknown"})),
        child(&amd64, json!({"os": "linux", "architecture": "amd64"})),
        child(&arm64, json!({"os": "linux", "architecture": "arm64"})),
    ]});
    let whole = live.put("app", "all", OCI_INDEX, &index.to_string()).await;
    for (platform, digest) in [(AMD64, &digests[0]), ("linux/arm64/v8", &digests[1]), ("linux/arm64", &digests[1])] {
        let found = look(&live.host, "app:all", platform, &Credential::Anonymous).await.unwrap().unwrap();
        assert_eq!((&found.digest, found.index.as_ref()), (digest, Some(&whole)));
        assert_eq!(found.reference.digest(), Some(digest.as_str()));
        assert!(matches!(found.carries, Carries::Inline { .. }), "{:?}", found.carries);
    }
    let why = why_not(look(&live.host, "app:all", "linux/s390x", &Credential::Anonymous).await);
    assert_eq!(why, "it holds no image for linux/s390x");
    let why = why_not(look(&live.host, "app:b", AMD64, &Credential::Anonymous).await);
    assert_eq!(why, "it is for linux/arm64/v8");
}

#[tokio::test]
async fn a_missing_child_or_config_is_no_cache_and_no_error() {
    let child =
        json!({"digest": format!("sha256:{:064}", 1), "size": 2, "platform": {"os": "linux", "architecture": "amd64"}});
    let list = json!({"manifests": [child]}).to_string();
    let fake = Fake::start(move |_, request| {
        if request.path.ends_with("/1") { Answer::manifest(DOCKER_LIST, &list) } else { Answer::new(404, "") }
    })
    .await;
    let why = why_not(look(&fake.host, "app:1", AMD64, &Credential::Anonymous).await);
    assert_eq!(why, "its image for linux/amd64 is missing");
    let fake = registry_with(&Image::new().manifest(), || Answer::new(404, "")).await;
    assert_eq!(why_not(look(&fake.host, "app:1", AMD64, &Credential::Anonymous).await), "its config is missing");
}

#[tokio::test]
async fn buildkits_registry_cache_is_recognised_in_both_forms() {
    let blob = |kind: &str, size: u64| {
        json!({"mediaType": kind, "digest": format!("sha256:{size:064}"), "size": size,
               "annotations": {"buildkit/createdat": format!("2026-01-0{size}T00:00:00Z")}})
    };
    let (layer, config) = ("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.buildkit.cacheconfig.v0");
    let index = json!({"manifests": [blob(layer, 1), blob(layer, 2), blob(config, 3)]});
    let manifest = json!({"config": blob(config, 3), "layers": [blob(layer, 2), blob(layer, 1)]});
    for (media_type, text) in [(OCI_INDEX, index.to_string()), (OCI, manifest.to_string())] {
        let fake = Fake::start(move |_, _| Answer::manifest(media_type, &text)).await;
        let found = look(&fake.host, "app:1", AMD64, &Credential::Anonymous).await.unwrap().unwrap();
        let Carries::Registry { layers, .. } = found.carries else { panic!("{:?}", found.carries) };
        assert_eq!((layers.len(), found.created.as_deref()), (2, Some("2026-01-02T00:00:00Z")));
        assert_eq!(fake.seen().len(), 1, "the cache itself is not fetched");
    }
}

#[tokio::test]
async fn what_buildkit_would_not_take_or_would_crash_over_is_no_cache() {
    let new = Image::new;
    let mut no_cache = new();
    no_cache.config.as_object_mut().unwrap().remove("moby.buildkit.cache.v0");
    let mut bare = new().with("rootfs", json!({"diff_ids": []})).with("history", json!([]));
    bare.layers.clear();
    for (image, why) in [
        (no_cache, "it was made without inline cache"),
        (new().with("moby.buildkit.cache.v0", Value::Null), "it was made without inline cache"),
        (new().with("moby.buildkit.cache.v0", "W3siZGln".into()), "its inline cache cannot be read"),
        (new().with("moby.buildkit.cache.v0", 5.into()), "its inline cache cannot be read"),
        (new().with_record(&json!({"layers": []})), "its inline cache cannot be read"),
        (new().with_record(&json!([{"digest": "x"}])), "its inline cache leads to no layer"),
        (new().with_record(&json!([{"layers": [{"layer": 2}]}])), "its inline cache is that of another image"),
        (bare, "its inline cache is that of another image"),
        (
            new().with("history", json!([{"created_by": "squashed"}])),
            "it has 2 layers, its config names 2 and its history 1",
        ),
        (new().with("history", Value::Null), "it has 2 layers, its config names 2 and its history 0"),
        (new().with("rootfs", json!({"diff_ids": ["x"]})), "it has 2 layers, its config names 1 and its history 2"),
        (new().with("history", json!("odd")), "its config cannot be read"),
        (new().with("os", "windows".into()), "it is for windows/amd64"),
    ] {
        assert_eq!(why_not(of_image(&image).await), why);
    }
    assert!(matches!(of_image(&new()).await.unwrap().unwrap().carries, Carries::Inline { .. }));
}

#[tokio::test]
async fn what_is_no_image_at_all_is_no_cache() {
    let image = Image::new().manifest();
    let with = |pointer: &str, value: Value| {
        let mut manifest = image.clone();
        *manifest.pointer_mut(pointer).unwrap() = value;
        manifest
    };
    for (manifest, why) in [
        (json!({}), "its manifest names no config"),
        (json!([1]), "its manifest cannot be read"),
        (json!({"layers": "x"}), "its manifest cannot be read"),
        (json!({"manifests": []}), "it holds no image for linux/amd64"),
        (with("/config/mediaType", "application/vnd.cncf.helm.config.v1+json".into()), "it is no image"),
        (with("/config/size", (4_u64 << 20).saturating_add(1).into()), "its config is larger than 4 MiB"),
        (with("/config/digest", "../../secret".into()), "its manifest names blobs by other digests than SHA-256"),
        (with("/layers/0/digest", "md5:0".into()), "its manifest names blobs by other digests than SHA-256"),
    ] {
        let fake = registry_with(&manifest, || panic!("a blob was asked for")).await;
        assert_eq!(why_not(look(&fake.host, "app:1", AMD64, &Credential::Anonymous).await), why);
    }
}

#[tokio::test]
async fn a_config_that_is_not_what_the_manifest_says_is_an_error() {
    for (content, problem) in [
        ("{}".to_owned(), "it has 2 bytes, its manifest says"),
        (Image::new().config.to_string().replace("true", "eurt"), "its content is sha256:"),
        (" ".repeat(5 << 20), "the answer is larger than 4 MiB"),
        ("<html>a portal</html>".to_owned(), "it has 21 bytes"),
    ] {
        let fake = registry_with(&Image::new().manifest(), move || Answer::new(200, &content)).await;
        let error = look(&fake.host, "app:1", AMD64, &Credential::Anonymous).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[tokio::test]
async fn what_may_be_otherwise_for_others_is_an_error() {
    let ask = async |answer: fn() -> Answer| {
        let fake = Fake::start(move |_, _| answer()).await;
        look(&fake.host, "app:1", AMD64, &Credential::Anonymous).await.unwrap_err()
    };
    assert_eq!(ask(|| Answer::new(403, "denied")).await.trouble, Trouble::Denied);
    assert_eq!(ask(|| Answer::new(503, "")).await.trouble, Trouble::Server);
    let portal = || Answer::new(200, "<html>log in</html>").with("content-type", "text/html");
    assert!(ask(portal).await.to_string().contains("no image manifest"));
    // A token service that is not there is no cache ref that is not there.
    let fake =
        Fake::start(
            |_, request| {
                if request.path.starts_with("/token") { Answer::new(404, "") } else { fake::challenge(request) }
            },
        )
        .await;
    let error = look(&fake.host, "app:1", AMD64, &Credential::Anonymous).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Other);
}

#[tokio::test]
async fn manifest_and_config_share_a_login_and_a_redirect_learns_nothing_of_it() {
    let (image, config) = (Image::new().manifest().to_string(), Image::new().config.to_string());
    let away = Fake::start(move |_, _| Answer::new(200, &config)).await;
    let there = format!("http://{}/bucket/config?signature=x", away.host);
    let fake = Fake::start(move |_, request| match (&request.authorization, request.path.as_str()) {
        (_, path) if path.starts_with("/token") => Answer::new(200, r#"{"token":"t"}"#),
        (Some(token), path) if token == "Bearer t" => {
            if path.contains("/blobs/") {
                Answer::new(307, "").with("location", &there)
            } else {
                Answer::manifest(OCI, &image)
            }
        }
        _ => fake::challenge(request),
    })
    .await;
    let found = look(&fake.host, "team/app:1", AMD64, &alice()).await.unwrap().unwrap();
    assert!(matches!(found.carries, Carries::Inline { .. }), "{:?}", found.carries);
    let logins = fake.seen().iter().filter(|r| r.path.starts_with("/token")).count();
    assert_eq!((logins, fake.seen().len()), (1, 4));
    let seen = away.seen();
    assert_eq!((seen.len(), seen[0].path.as_str()), (1, "/bucket/config?signature=x"));
    assert_eq!(seen[0].authorization, None);
}

#[tokio::test]
async fn a_password_does_not_follow_a_redirect() {
    let away = Fake::start(|_, _| Answer::new(401, "").with("www-authenticate", "Basic realm=\"elsewhere\"")).await;
    let there = format!("http://{}/", away.host);
    let fake = registry_with(&Image::new().manifest(), move || Answer::new(307, "").with("location", &there)).await;
    let error = look(&fake.host, "app:1", AMD64, &alice()).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Unauthorized);
    assert!(away.seen().iter().all(|request| request.authorization.is_none()), "{:?}", away.seen());
}

/// It sends as much as a manifest may have, under every tag but one.
#[tokio::test]
async fn a_registry_cannot_fill_the_memory_nor_take_what_others_need() {
    const MIB: usize = 1 << 20;
    let image = Image::new();
    let (manifest, config) = (image.manifest().to_string(), image.config.to_string());
    let fake = Fake::start(move |number, request| match request.path.as_str() {
        "/v2/app/manifests/good" => Answer::manifest(OCI, &manifest),
        path if path.contains("/blobs/") => Answer::new(200, &config),
        _ => Answer::manifest(OCI, &format!("{number:4}{}", " ".repeat(4 * MIB - 4))),
    })
    .await;
    let registry = client();
    let reader = registry.cache_reader(48, AMD64);
    let reader = &reader;
    let host = &fake.host;
    let read =
        async move |tag: String| reader.read(&reference(host, &format!("app:{tag}")), &Credential::Anonymous).await;
    let all: Vec<_> = stream::iter((1..48).map(|number| read(number.to_string()))).buffered(48).collect().await;
    let kept: usize = all.iter().flatten().flatten().map(|image| image.manifest.len()).sum();
    assert!(kept <= 32 * MIB, "{kept}");
    let refused: Vec<_> = all.iter().filter_map(|read| read.as_ref().err()).collect();
    assert!(refused.len() > 39, "{}", refused.len());
    for error in refused {
        assert_eq!(error.reason(), "the cache refs of this build are larger than 32 MiB in all");
    }
    let good = read("good".to_owned()).await.unwrap().unwrap();
    assert!(matches!(good.carries, Carries::Inline { .. }), "{:?}", good.carries);
    // The next build's memory is its own.
    assert!(look(host, "app:1", AMD64, &Credential::Anonymous).await.unwrap().is_some());
}

#[tokio::test]
async fn what_several_cache_refs_name_is_looked_into_once() {
    let image = Image::new();
    let config = image.config.to_string();
    let fake = registry_with(&image.manifest(), move || Answer::new(200, &config)).await;
    let registry = client();
    let reader = registry.cache_reader(4, AMD64);
    let refs = ["app:1", "app:2", "app:3", "other:1"].map(|name| reference(&fake.host, name));
    let all = stream::iter(refs.iter().map(|r| reader.read(r, &Credential::Anonymous))).buffered(4);
    for found in all.collect::<Vec<_>>().await {
        assert!(matches!(found.unwrap().unwrap().carries, Carries::Inline { .. }));
    }
    let of = |what: &str| fake.seen().iter().filter(|request| request.path.contains(what)).count();
    assert_eq!((of("/manifests/"), of("/v2/app/blobs/"), of("/v2/other/blobs/")), (4, 1, 1));
}

#[tokio::test]
async fn an_answer_that_never_comes_costs_the_callers_patience_alone() {
    let fake = Fake::start(|_, _| Answer::silence()).await;
    let app = reference(&fake.host, "app:1");
    let registry = client();
    let look = || registry.cache_image(&app, &Credential::Anonymous, AMD64);
    assert!(tokio::time::timeout(Duration::from_millis(50), look()).await.is_err());
    // The client is as good as before.
    let image = Image::new();
    let config = image.config.to_string();
    let good = registry_with(&image.manifest(), move || Answer::new(200, &config)).await;
    let app = reference(&good.host, "app:1");
    assert!(registry.cache_image(&app, &Credential::Anonymous, AMD64).await.unwrap().is_some());
}
