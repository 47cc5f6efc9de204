//! Publishing what lies in the registry already.

use std::sync::Mutex;

use bytes::Bytes;
use remora::{
    model::{Credential, Reference},
    registry::{Error, Publication, Published},
    strategy::{retry::Trouble, with_config},
};

use crate::{
    OCI, OCI_INDEX, alice, client,
    fake::{self, Answer, Fake},
    image::{Image, digest},
    live::{Live, Login},
    mallory, reference,
};

async fn publish(
    manifest: &str,
    config: Option<&Bytes>,
    from: &Reference,
    to: &[Reference],
    credential: &Credential,
) -> Result<Published, Error> {
    let manifest = Bytes::from(manifest.to_owned());
    let media_type = if manifest.windows(11).any(|w| w == b"\"manifests\"") { OCI_INDEX } else { OCI };
    let image = Publication { manifest: &manifest, media_type, config };
    client().publish(&image, from, to, credential).await
}

/// The image's manifest with a new config, and that.
fn relabelled(image: &Image) -> (String, Bytes) {
    let mut config = image.config.clone();
    config["config"]["Labels"] = serde_json::json!({"commit": "2"});
    let config = Bytes::from(config.to_string());
    let manifest = image.manifest().to_string();
    let manifest = with_config(manifest.as_bytes(), &digest(&config), config.len() as u64).unwrap();
    (String::from_utf8(manifest).unwrap(), config)
}

#[tokio::test]
async fn the_same_repository_gets_tags_and_nothing_else_moves() {
    for (login, credential) in [(Login::None, Credential::Anonymous), (Login::Password, alice())] {
        let Some(live) = Live::start(login).await else { return };
        let image = Image::new();
        let digest = image.put(&live, "team/app", "cache").await;
        let from = reference(&live.host, "team/app:cache");
        let (text, to) = (image.manifest().to_string(), [from.with_tag("1"), from.with_tag("latest")]);
        // Twice: a retry finds what the attempt before has done.
        for _ in 0..2 {
            let done = publish(&text, None, &from, &to, &credential).await.unwrap();
            assert_eq!(done, Published::Done { digest: digest.clone(), mounted: 0 });
        }
        for tag in ["1", "latest"] {
            assert_eq!(live.get("team/app", tag).await, (OCI.to_owned(), text.clone()));
        }
        if login == Login::Password {
            let error = publish(&text, None, &from, &to, &mallory()).await.unwrap_err();
            assert_eq!(error.trouble, Trouble::Unauthorized);
        }
    }
}

#[tokio::test]
async fn a_new_config_is_uploaded_first() {
    let Some(live) = Live::start(Login::Password).await else { return };
    let image = Image::new();
    image.put(&live, "team/app", "cache").await;
    let (text, config) = relabelled(&image);
    let from = reference(&live.host, "team/app:cache");
    for _ in 0..2 {
        let done = publish(&text, Some(&config), &from, &[from.with_tag("2")], &alice()).await.unwrap();
        assert_eq!(done, Published::Done { digest: digest(text.as_bytes()), mounted: 0 });
    }
    assert_eq!(live.get("team/app", "2").await.1, text);
    assert_eq!(live.blob("team/app", &digest(&config)).await, config);
}

#[tokio::test]
async fn another_repository_takes_the_blobs_over() {
    for (login, credential) in [(Login::None, Credential::Anonymous), (Login::Password, alice())] {
        let Some(live) = Live::start(login).await else { return };
        let image = Image::new();
        image.put(&live, "cache/app", "main").await;
        let (from, to) = (reference(&live.host, "cache/app:main"), reference(&live.host, "team/app:1"));
        let text = image.manifest().to_string();
        let done = publish(&text, None, &from, std::slice::from_ref(&to), &credential).await.unwrap();
        assert_eq!(done, Published::Done { digest: digest(text.as_bytes()), mounted: 3 });
        assert_eq!(live.get("team/app", "1").await.1, text);
        assert_eq!(live.blob("team/app", &digest(&image.layers[1])).await, image.layers[1]);

        let (text, config) = relabelled(&image);
        let to = reference(&live.host, "team/other:1");
        let done = publish(&text, Some(&config), &from, std::slice::from_ref(&to), &credential).await.unwrap();
        assert_eq!(done, Published::Done { digest: digest(text.as_bytes()), mounted: 2 });
        assert_eq!(live.blob("team/other", &digest(&config)).await, config);
    }
}

#[tokio::test]
async fn layers_that_are_gone_publish_nothing() {
    let Some(live) = Live::start(Login::None).await else { return };
    let image = Image::new();
    let from = reference(&live.host, "team/app:cache");
    let text = image.manifest().to_string();
    let error = publish(&text, None, &from, &[from.with_tag("1")], &Credential::Anonymous).await.unwrap_err();
    assert!(!error.trouble.may_pass(), "{error}");
    let elsewhere = reference(&live.host, "team/other:1");
    let done = publish(&text, None, &from, &[elsewhere], &Credential::Anonymous).await.unwrap();
    assert!(matches!(done, Published::NotMountable(_)), "{done:?}");
}

#[tokio::test]
async fn a_registry_that_wants_an_upload_instead_gets_neither_that_nor_a_tag() {
    let fake = Fake::start(|_, request| match request.method.as_str() {
        "POST" => Answer::new(202, "").with("location", "/v2/team/app/blobs/uploads/7?state=x"),
        "DELETE" => Answer::new(204, ""),
        _ => Answer::new(500, "not expected"),
    })
    .await;
    let (from, to) = (reference(&fake.host, "cache/app:1"), reference(&fake.host, "team/app:1"));
    let (text, config) = relabelled(&Image::new());
    let done = publish(&text, Some(&config), &from, &[to], &Credential::Anonymous).await.unwrap();
    let why = format!("the registry does not take blobs over from {}/cache/app", fake.host);
    assert_eq!(done, Published::NotMountable(why));
    let seen: Vec<_> = fake.seen().into_iter().map(|r| (r.method, r.path)).collect();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[0].1.starts_with("/v2/team/app/blobs/uploads/?mount=sha256%3A"), "{seen:?}");
    assert!(seen[0].1.ends_with("&from=cache%2Fapp"), "{seen:?}");
    assert_eq!(seen[1], ("DELETE".to_owned(), "/v2/team/app/blobs/uploads/7?state=x".to_owned()));
}

#[tokio::test]
async fn a_mount_asks_for_a_token_for_both_repositories_and_once() {
    for credential in [alice(), Credential::IdentityToken("refresh-me".into())] {
        let good = |request: &fake::Seen| request.authorization.as_deref() == Some("Bearer t");
        let fake = Fake::start(move |_, request| match request.method.as_str() {
            _ if request.path.starts_with("/token") => Answer::new(200, r#"{"token":"t"}"#),
            _ if !good(request) => fake::challenge(request),
            _ => Answer::new(201, ""),
        })
        .await;
        let (from, to) = (reference(&fake.host, "cache/app:1"), reference(&fake.host, "team/app:1"));
        let text = Image::new().manifest().to_string();
        let done = publish(&text, None, &from, &[to], &credential).await.unwrap();
        assert!(matches!(done, Published::Done { mounted: 3, .. }), "{done:?}");
        let seen = fake.seen();
        let logins: Vec<_> = seen.iter().filter(|r| r.path.starts_with("/token")).collect();
        assert_eq!(logins.len(), 1, "{seen:?}");
        let asked = format!("{}{}", logins[0].path, logins[0].body);
        for scope in ["repository%3Ateam%2Fapp%3Apull%2Cpush", "repository%3Acache%2Fapp%3Apull"] {
            assert!(asked.contains(scope), "{asked}");
        }
    }
}

#[tokio::test]
async fn who_may_not_mount_pushes_in_the_ordinary_way_and_trouble_that_passes_is_tried_again() {
    let (text, first) = (Image::new().manifest().to_string(), Mutex::new(true));
    // The token service grants less than was asked for.
    let fake = Fake::start(|_, request| match request.path.starts_with("/token") {
        true => Answer::new(200, r#"{"token":"t"}"#),
        false if request.authorization.is_none() => fake::challenge(request),
        false => fake::challenge_about_scope(request),
    })
    .await;
    let to = [reference(&fake.host, "team/app:1")];
    let done = publish(&text, None, &reference(&fake.host, "cache/app:1"), &to, &alice()).await.unwrap();
    assert!(matches!(&done, Published::NotMountable(why) if why.contains("refused POST of team/app@")), "{done:?}");
    assert!(fake.seen().iter().all(|request| request.method != "PUT"));

    let fake = Fake::start(move |_, request| match request.method.as_str() {
        "POST" if std::mem::take(&mut *first.lock().unwrap()) => Answer::new(429, "").with("retry-after", "3"),
        _ => Answer::new(201, ""),
    })
    .await;
    let (from, to) = (reference(&fake.host, "cache/app:1"), [reference(&fake.host, "team/app:1")]);
    let error = publish(&text, None, &from, &to, &Credential::Anonymous).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::RateLimited);
    assert!(publish(&text, None, &from, &to, &Credential::Anonymous).await.is_ok());
}

#[tokio::test]
async fn an_upload_elsewhere_learns_no_login() {
    let away = Fake::start(|_, _| Answer::new(201, "")).await;
    let there = format!("http://{}/upload?state=a%2Fb", away.host);
    let fake = Fake::start(move |_, request| match request.method.as_str() {
        _ if request.authorization.is_none() => Answer::new(401, "").with("www-authenticate", "Basic realm=\"r\""),
        "HEAD" => Answer::new(404, ""),
        "POST" => Answer::new(202, "").with("location", &there),
        _ => Answer::new(201, ""),
    })
    .await;
    let (text, config) = relabelled(&Image::new());
    let app = reference(&fake.host, "team/app:1");
    publish(&text, Some(&config), &app, &[app.with_tag("2")], &alice()).await.unwrap();
    let seen = away.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((&seen[0].authorization, seen[0].body.as_bytes()), (&None, &config[..]));
    let digest = digest(&config).replace(':', "%3A");
    assert_eq!(seen[0].path, format!("/upload?state=a%2Fb&digest={digest}"));
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_known_at_once() {
    let fake = Fake::start(|_, _| Answer::new(500, "not expected")).await;
    let (text, nobody) = (Image::new().manifest().to_string(), Credential::Anonymous);
    let (from, to) = (reference("127.0.0.1:1", "app:1"), reference(&fake.host, "app:1"));
    let done = publish(&text, None, &from, std::slice::from_ref(&to), &nobody).await.unwrap();
    assert_eq!(done, Published::NotMountable("its layers lie in 127.0.0.1:1".into()));
    let from = reference(&fake.host, "other:1");
    let done = publish(r#"{"manifests":[]}"#, None, &from, std::slice::from_ref(&to), &nobody).await.unwrap();
    assert_eq!(done, Published::NotMountable("it is an index of images".into()));
    let error = publish(&text, None, &to, &[to.clone(), from], &nobody).await.unwrap_err();
    assert!(error.to_string().contains("another repository"), "{error}");
    assert!(fake.seen().is_empty());
}
