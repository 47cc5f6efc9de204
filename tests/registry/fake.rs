//! A registry in this process that answers as a test wants it to.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::Notify};

/// A request as the registry saw it, and how it was answered.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) authorization: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
    pub(crate) status: u16,
}

pub(crate) struct Answer {
    /// 0 resets the connection, 1 leaves it as it is and says nothing.
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }

    pub(crate) fn manifest(media_type: &str, body: &str) -> Self {
        Self::new(200, body).with("content-type", media_type)
    }

    pub(crate) fn reset() -> Self {
        Self::new(0, "")
    }

    pub(crate) fn silence() -> Self {
        Self::new(1, "")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub(crate) struct Fake {
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Fake {
    /// `answer` gets the number of the request, from 1, and the request.
    pub(crate) async fn start(answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (seen.clone(), Arc::new(answer));
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A socket that lingers for no time is reset when it closes.
                stream.set_zero_linger().unwrap();
                let (log, answer) = (log.clone(), answer.clone());
                tokio::spawn(async move {
                    let reset = Arc::new(Notify::new());
                    let service = service_fn(|request| handle(request, log.clone(), answer.clone(), reset.clone()));
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    tokio::select! {
                        _ = connection => {}
                        () = reset.notified() => {}
                    }
                });
            }
        });
        Self { host, seen, server }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn handle(
    request: Request<Incoming>,
    log: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<impl Fn(usize, &Seen) -> Answer>,
    reset: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    let mut seen = Seen {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        host: header("host").unwrap_or_default(),
        authorization: header("authorization"),
        content_type: header("content-type"),
        body: String::new(),
        status: 0,
    };
    seen.body = String::from_utf8_lossy(&request.into_body().collect().await.unwrap().to_bytes()).into_owned();
    let answer = answer(log.lock().unwrap().len() + 1, &seen);
    seen.status = answer.status;
    log.lock().unwrap().push(seen);
    if answer.status <= 1 {
        if answer.status == 0 {
            reset.notify_one();
        }
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(answer.body)).unwrap())
}

/// Sends the caller to the token service, which is this registry too.
pub(crate) fn challenge(request: &Seen) -> Answer {
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"fake\"", request.host);
    Answer::new(401, "").with("www-authenticate", &challenge)
}

/// The same for somebody who is logged in and may not do it.
pub(crate) fn challenge_about_scope(request: &Seen) -> Answer {
    let challenge = format!("Bearer realm=\"http://{}/token\",error=\"insufficient_scope\"", request.host);
    Answer::new(401, "").with("www-authenticate", &challenge)
}

/// A registry whose tokens are good for `uses` requests each.
pub(crate) fn token_service(uses: usize) -> impl Fn(usize, &Seen) -> Answer + Send + Sync {
    // How many tokens there were, and how often the last one may still be used.
    let state = Mutex::new((0, 0));
    move |_, request| {
        let mut state = state.lock().unwrap();
        if request.path.starts_with("/token") {
            *state = (state.0 + 1, uses);
            return Answer::new(200, &format!(r#"{{"token":"token-{}","expires_in":60}}"#, state.0));
        }
        if state.1 == 0 || request.authorization != Some(format!("Bearer token-{}", state.0)) {
            return challenge(request);
        }
        state.1 -= 1;
        match request.method.as_str() {
            "PUT" => Answer::new(201, ""),
            _ => Answer::manifest("application/vnd.oci.image.manifest.v1+json", "{}"),
        }
    }
}
