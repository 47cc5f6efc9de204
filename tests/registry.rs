//! The registry room against Debian's `docker-registry`, and against a registry that misbehaves.
#![cfg(feature = "agent")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "registry/cache.rs"]
mod cache;
#[path = "registry/fake.rs"]
mod fake;
#[path = "registry/image.rs"]
mod image;
#[path = "registry/live.rs"]
mod live;
#[path = "registry/publish.rs"]
mod publish;

use std::{
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use remora::{
    model::{Credential, Failure, FailureKind, Reference},
    registry::{Error, Options, Registry, retrying},
    strategy::retry::{Policy, Trouble},
};

use self::{
    fake::{Answer, Fake},
    live::Live,
};

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn client() -> Registry {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Registry::new(Options::default())
}

fn reference(host: &str, rest: &str) -> Reference {
    format!("{host}/{rest}").parse().unwrap()
}

fn alice() -> Credential {
    Credential::Basic { username: "alice".into(), secret: live::PASSWORD.into() }
}

fn mallory() -> Credential {
    Credential::Basic { username: "alice".into(), secret: "a-wrong-guess".into() }
}

// A real registry.

#[tokio::test]
async fn tags_of_every_media_type_are_set_byte_by_byte() {
    let Some(live) = Live::start(live::Login::None).await else { return };
    for (media_type, extra) in [(DOCKER, ""), (OCI, "  "), (DOCKER_LIST, "\n"), (OCI_INDEX, "\n\n")] {
        // Odd white space shows whether the manifest was rewritten on its way.
        let (repository, body) = (format!("team/app{}", extra.len()), Live::manifest(media_type, extra));
        let digest = live.put(&repository, "1", media_type, &body).await;
        let from = reference(&live.host, &format!("{repository}:1"));
        let to = [from.with_tag("2"), from.with_tag("latest")];

        assert_eq!(client().digest(&from, &Credential::Anonymous).await.unwrap(), digest);
        assert_eq!(client().retag(&from, &to, &Credential::Anonymous).await.unwrap(), digest);

        for tag in ["2", "latest"] {
            assert_eq!(live.get(&repository, tag).await, (media_type.to_owned(), body.clone()), "{media_type}");
        }
        let by_digest = reference(&live.host, &format!("{repository}@{digest}"));
        assert_eq!(client().retag(&by_digest, &[from.with_tag("3")], &Credential::Anonymous).await.unwrap(), digest);
        assert_eq!(live.get(&repository, "3").await.1, body);
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let Some(live) = Live::start(live::Login::None).await else { return };
    let missing = reference(&live.host, "team/none:1");
    for error in [
        client().digest(&missing, &Credential::Anonymous).await.unwrap_err(),
        client().retag(&missing, &[missing.with_tag("2")], &Credential::Anonymous).await.unwrap_err(),
    ] {
        assert_eq!((error.trouble, error.status), (Trouble::NotFound, Some(404)), "{error}");
    }
    assert_eq!(client().retry_after(&missing, &Credential::Anonymous).await, None);
}

#[tokio::test]
async fn a_registry_with_passwords_wants_the_right_one() {
    let Some(live) = Live::start(live::Login::Password).await else { return };
    let body = Live::manifest(OCI, "");
    let digest = live.put("team/app", "1", OCI, &body).await;
    let from = reference(&live.host, "team/app:1");
    let to = [from.with_tag("2")];

    assert_eq!(client().retag(&from, &to, &alice()).await.unwrap(), digest);
    assert_eq!(client().digest(&to[0], &alice()).await.unwrap(), digest);
    for nobody in [Credential::Anonymous, mallory(), Credential::IdentityToken("a-wrong-guess".into())] {
        let error = client().digest(&from, &nobody).await.unwrap_err();
        assert_eq!((error.trouble, error.status), (Trouble::Unauthorized, Some(401)), "{nobody:?}");
        let failure = Failure::from(client().retag(&from, &to, &nobody).await.unwrap_err());
        assert_eq!(failure.kind, FailureKind::Registry);
        assert!(failure.next.contains(&format!("docker login {}", live.host)), "{failure:?}");
        assert!(!format!("{failure:?}{nobody:?}").contains("a-wrong-guess"), "{failure:?}");
    }
}

#[tokio::test]
async fn one_callers_login_never_serves_another() {
    let Some(live) = Live::start(live::Login::Password).await else { return };
    let body = Live::manifest(OCI, "");
    live.put("team/app", "1", OCI, &body).await;
    let (registry, from) = (client(), reference(&live.host, "team/app:1"));
    registry.digest(&from, &alice()).await.unwrap();
    assert!(registry.digest(&from, &Credential::Anonymous).await.is_err());
    assert!(registry.digest(&from, &mallory()).await.is_err());
}

// A registry that misbehaves.

#[tokio::test]
async fn a_rate_limit_tells_how_long_to_wait() {
    let in_a_while = SystemTime::now() + Duration::from_secs(90);
    for (header, seconds) in [("7".to_owned(), 7..=7), (httpdate::fmt_http_date(in_a_while), 80..=90)] {
        let fake =
            Fake::start(move |_, _| Answer::new(429, "toomanyrequests: slow down").with("retry-after", &header)).await;
        let app = reference(&fake.host, "app:1");
        let error = client().digest(&app, &Credential::Anonymous).await.unwrap_err();
        assert_eq!((error.trouble, error.status), (Trouble::RateLimited, Some(429)));
        assert!(seconds.contains(&error.retry_after.unwrap().as_secs()), "{error:?}");
        let asked = client().retry_after(&app, &Credential::Anonymous).await.unwrap();
        assert!(seconds.contains(&asked.as_secs()), "{asked:?}");
    }
}

#[tokio::test]
async fn trouble_that_passes_is_waited_out_and_reported() {
    let fake = Fake::start(|number, _| match number {
        1 => Answer::new(429, "").with("retry-after", "0"),
        2 => Answer::new(503, "<html>busy</html>"),
        3 => Answer::reset(),
        _ => Answer::manifest(OCI, "{}"),
    })
    .await;
    let (registry, app, notices) = (client(), reference(&fake.host, "app:1"), Mutex::new(Vec::new()));
    let policy = Policy { first: Duration::from_millis(10), ..Policy::default() };
    let done = retrying(
        &policy,
        || registry.retag(&app, &[], &Credential::Anonymous),
        Error::trouble,
        |attempt| {
            notices.lock().unwrap().push(attempt.notice("tag", &attempt.error.reason()));
            std::future::ready(())
        },
    )
    .await;
    assert!(done.is_ok(), "{done:?}");
    let notices = notices.into_inner().unwrap();
    assert_eq!(notices.len(), 3, "{notices:?}");
    assert!(notices[0].starts_with("tag: 429 Too Many Requests, attempt 2 of 5 in "), "{notices:?}");
    assert!(notices[1].starts_with("tag: 503 Service Unavailable, attempt 3 of 5 in "), "{notices:?}");
    assert!(notices[2].contains("attempt 4 of 5 in "), "{notices:?}");
}

#[tokio::test]
async fn a_refusal_is_final_and_worded() {
    let denied = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let fake = Fake::start(|_, request| match request.method.as_str() {
        "PUT" => Answer::new(403, denied),
        _ => Answer::manifest(OCI, "{}"),
    })
    .await;
    let (registry, app) = (client(), reference(&fake.host, "team/app:1"));
    let policy = Policy::default();
    let retag = || registry.retag(&app, std::slice::from_ref(&app), &Credential::Anonymous);
    let error = retrying(&policy, retag, Error::trouble, |_| -> std::future::Ready<()> { panic!("retried") })
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "registry {} refused PUT of team/app:1: 403 Forbidden: denied: requested access to the resource is denied",
            fake.host
        )
    );
}

#[tokio::test]
async fn an_expired_token_is_replaced_within_one_call() {
    // The n-th token is good for one request.
    let fake = Fake::start(fake::token_service(1)).await;
    let app = reference(&fake.host, "team/app:1");
    let to = [app.with_tag("2"), app.with_tag("3")];
    client().retag(&app, &to, &alice()).await.unwrap();
    let seen = fake.seen();
    let logins: Vec<_> = seen.iter().filter(|r| r.path.starts_with("/token")).collect();
    assert_eq!(logins.len(), 3, "{seen:?}");
    for login in logins {
        assert!(
            login.path.contains("service=fake") && login.path.contains("scope=repository%3Ateam%2Fapp%3Apull%2Cpush")
        );
        assert_eq!(login.authorization.as_deref(), Some("Basic YWxpY2U6d29uZGVyLWxhbmQ="));
    }
    assert_eq!(seen.iter().filter(|r| r.method == "PUT" && r.status == 201).count(), 2, "{seen:?}");
}

#[tokio::test]
async fn a_token_that_lasts_is_asked_for_once() {
    let fake = Fake::start(fake::token_service(99)).await;
    let app = reference(&fake.host, "team/app:1");
    client().retag(&app, &[app.with_tag("2"), app.with_tag("3")], &alice()).await.unwrap();
    assert_eq!(fake.seen().iter().filter(|r| r.path.starts_with("/token")).count(), 1);
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let fake = Fake::start(fake::token_service(99)).await;
    let app = reference(&fake.host, "team/app:1");
    client().digest(&app, &Credential::IdentityToken("refresh-me".into())).await.unwrap();
    let seen = fake.seen();
    let login = seen.iter().find(|r| r.path.starts_with("/token")).unwrap();
    assert_eq!((login.method.as_str(), login.path.as_str(), &login.authorization), ("POST", "/token", &None));
    assert!(login.body.contains("grant_type=refresh_token&") && login.body.contains("refresh_token=refresh-me"));
}

#[tokio::test]
async fn a_token_service_that_refuses_or_limits_says_so() {
    for (status, trouble) in [
        (401, Trouble::Unauthorized),
        (400, Trouble::Unauthorized),
        (403, Trouble::Denied),
        (429, Trouble::RateLimited),
        (503, Trouble::Server),
    ] {
        let fake = Fake::start(move |_, request| {
            if request.path.starts_with("/token") {
                // A service may repeat what it was sent.
                return Answer::new(status, "sorry, wonder-land").with("retry-after", "9");
            }
            fake::challenge(request)
        })
        .await;
        let error = client().digest(&reference(&fake.host, "app:1"), &alice()).await.unwrap_err();
        assert_eq!((error.trouble, error.status), (trouble, Some(status)), "{error}");
        assert_eq!(error.retry_after, Some(Duration::from_secs(9)));
        assert!(error.to_string().contains("login for GET of app:1"), "{error}");
        assert!(!format!("{error:?}{error}").contains("wonder-land"), "{error}");
    }
}

#[tokio::test]
async fn a_login_without_the_right_to_push_is_denied() {
    let fake = Fake::start(|_, request| match (request.method.as_str(), &request.authorization) {
        (_, None) if !request.path.starts_with("/token") => fake::challenge(request),
        ("PUT", _) => fake::challenge_about_scope(request),
        ("GET", _) if request.path.starts_with("/token") => Answer::new(200, r#"{"access_token":"t"}"#),
        _ => Answer::manifest(OCI, "{}"),
    })
    .await;
    let app = reference(&fake.host, "app:1");
    let error = client().retag(&app, &[app.with_tag("2")], &alice()).await.unwrap_err();
    assert_eq!((error.trouble, error.status), (Trouble::Denied, Some(401)), "{error}");
}

#[tokio::test]
async fn a_manifest_that_is_not_what_it_claims_is_refused() {
    let other = format!("sha256:{}", "0".repeat(64));
    let fake = Fake::start(move |number, _| match number {
        1 => Answer::manifest(OCI, "{}").with("docker-content-digest", &other),
        2 => Answer::new(200, "<html>a portal</html>").with("content-type", "text/html"),
        _ => Answer::new(200, &" ".repeat(5 << 20)).with("content-type", OCI),
    })
    .await;
    let app = reference(&fake.host, "app:1");
    for problem in ["its content is sha256:", "no image manifest", "larger than 4 MiB"] {
        let error = client().retag(&app, &[], &Credential::Anonymous).await.unwrap_err();
        assert_eq!(error.trouble, Trouble::Other);
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[tokio::test]
async fn a_manifest_without_a_content_type_keeps_its_own() {
    let body = format!(r#"{{"mediaType":"{OCI_INDEX}"}}"#);
    let fake = Fake::start(move |_, request| match request.method.as_str() {
        "PUT" => Answer::new(201, ""),
        _ => Answer::new(200, &body).with("content-type", "application/octet-stream"),
    })
    .await;
    let app = reference(&fake.host, "app:1");
    client().retag(&app, &[app.with_tag("2")], &Credential::Anonymous).await.unwrap();
    assert_eq!(fake.seen().last().unwrap().content_type.as_deref(), Some(OCI_INDEX));
}

#[tokio::test]
async fn a_digest_comes_from_the_body_where_the_header_is_missing() {
    let fake = Fake::start(|_, _| Answer::new(200, "{}").with("content-type", OCI)).await;
    let digest = client().digest(&reference(&fake.host, "app:1"), &Credential::Anonymous).await.unwrap();
    assert_eq!(digest, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let start = Instant::now();
    let error = client().digest(&reference("127.0.0.1:1", "app:1"), &Credential::Anonymous).await.unwrap_err();
    assert_eq!((error.trouble, error.status), (Trouble::Unreachable, None));
    assert!(start.elapsed() < Duration::from_secs(5));
    let failure = Failure::from(error);
    assert!(failure.what.starts_with("registry 127.0.0.1:1 cannot be reached for HEAD of app:1: "), "{failure}");
    assert!(failure.what.to_lowercase().contains("refused"), "{failure}");
}

#[tokio::test]
async fn tags_elsewhere_are_not_set() {
    let app = reference("127.0.0.1:1", "app:1");
    let error = client().retag(&app, &[reference("127.0.0.1:1", "other:1")], &Credential::Anonymous).await.unwrap_err();
    assert!(error.to_string().contains("another repository"), "{error}");
}
