//! Who is let in, and to what. Every call of our own service passes here; one that this file does not know is refused.
//!
//! Health and reflection are not asked for anything: a probe has no token, and neither tells more than whether the agent
//! is ready and what its published API is.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, header::AUTHORIZATION};
use tonic::{Code, Status, body::Body, server::NamedService};
use tracing::Instrument as _;

use super::incoming::Peer;
use crate::{
    kube::{Authority, User},
    model::{Failure, FailureKind, Permission},
    wire,
};

/// What callers must show.
#[derive(Clone)]
pub(super) struct Door {
    /// The agent's own token. Who has it may do everything.
    pub(super) token: Option<String>,
    /// Asked about who comes by TCP.
    pub(super) cluster: Option<Arc<Authority>>,
}

/// Somebody who was let in.
#[derive(Clone)]
pub(super) struct Caller {
    /// Who it is, where that is proven: a user of the cluster, or a certificate.
    pub(super) name: Option<String>,
    /// `None` for who may do everything.
    limited: Option<Limited>,
}

#[derive(Clone)]
struct Limited {
    cluster: Arc<Authority>,
    user: User,
    token: Arc<str>,
}

impl Caller {
    /// Whether the caller may do that as well.
    pub(super) async fn may(&self, permission: Permission) -> Result<(), Failure> {
        match &self.limited {
            None => Ok(()),
            Some(Limited { cluster, user, token }) => cluster.may(user, token, permission).await,
        }
    }
}

impl Door {
    /// Who calls, with words for the log.
    async fn caller(&self, call: &http::request::Parts) -> Result<(Caller, String), Failure> {
        let shown = call.headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let bearer = shown.and_then(|shown| shown.strip_prefix(b"Bearer "));
        // Without the peer that the server puts there, it is a stranger.
        let (is_unix, certificate) = match call.extensions.get::<Peer>() {
            Some(Peer::Unix) => (true, None),
            Some(Peer::Tcp { certificate, .. }) => (false, certificate.as_deref()),
            None => (false, None),
        };
        let name = || match (is_unix, certificate) {
            (true, _) => "unix socket".to_owned(),
            (false, Some(certificate)) => format!("certificate {certificate}"),
            (false, None) => "token".to_owned(),
        };
        let proven = certificate.map(|certificate| format!("certificate {certificate}"));
        let free = (Caller { name: proven, limited: None }, name());
        match (&self.token, &self.cluster) {
            (Some(token), _) if bearer.is_some_and(|shown| same(token.as_bytes(), shown)) => Ok(free),
            (_, Some(cluster)) if !is_unix => {
                let token = bearer.and_then(|shown| std::str::from_utf8(shown).ok());
                let user = cluster.user(token).await?;
                let name = user.name.clone();
                let token = token.unwrap_or_default().into();
                let limited = Some(Limited { cluster: Arc::clone(cluster), user, token });
                Ok((Caller { name: Some(name.clone()), limited }, name))
            }
            (None, _) if is_unix || certificate.is_some() => Ok(free),
            (None, _) => Err(Failure::new(FailureKind::Policy, "this agent knows no way to tell who you are")),
            (Some(_), _) => Err(Failure::new(FailureKind::Policy, "this agent wants its token")
                .next("give the client the agent's token in REMORA_TOKEN, or in a file that REMORA_TOKEN_FILE names")),
        }
    }

    /// Lets a call in, or says why not.
    async fn admit(&self, call: &http::request::Parts) -> Result<(Caller, String), Status> {
        let (caller, name) = self.caller(call).await.map_err(stranger)?;
        if let Some(peer) = call.extensions.get::<Peer>() {
            peer.becomes_known();
        }
        let method = call.uri.path().rsplit('/').next().unwrap_or_default();
        let permission = match method {
            // Which agent of a pool to call: no more is told than how many builds it has.
            "State" => return Ok((caller, name)),
            // Who may only push lends credentials too.
            "Session" if caller.may(Permission::Push).await.is_ok() => return Ok((caller, name)),
            "Build" | "Plan" | "Session" => Permission::Build,
            "Push" => Permission::Push,
            "Prune" => Permission::Prune,
            "Info" | "Diagnose" | "DiskUsage" => Permission::Inspect,
            "ListBuilds" => Permission::List,
            "Cancel" => Permission::Cancel,
            _ => return Err(Status::unimplemented(format!("there is no call {method}"))),
        };
        caller.may(permission).await.map_err(wire::to_status)?;
        Ok((caller, name))
    }
}

/// The status of who showed nothing that counts, which has a code of its own.
fn stranger(failure: Failure) -> Status {
    let is_refusal = failure.kind == FailureKind::Policy;
    let status = wire::to_status(failure);
    if !is_refusal {
        return status;
    }
    Status::with_details(Code::Unauthenticated, status.message(), Bytes::copy_from_slice(status.details()))
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// A service behind the door.
#[derive(Clone)]
pub(super) struct Guarded<S> {
    door: Door,
    inner: S,
}

impl<S> Guarded<S> {
    pub(super) fn new(door: Door, inner: S) -> Self {
        Self { door, inner }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> tower::Service<Request<Body>> for Guarded<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Request<Body>) -> Self::Future {
        // The one that said it is ready is the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let door = self.door.clone();
        Box::pin(async move {
            let (mut parts, body) = call.into_parts();
            match door.admit(&parts).await {
                Ok((caller, name)) => {
                    parts.extensions.insert(caller);
                    let span = tracing::info_span!("call", caller = name);
                    inner.call(Request::from_parts(parts, body)).instrument(span).await
                }
                Err(status) => {
                    tracing::info!(method = parts.uri.path(), what = status.message(), "refused");
                    Ok(status.into_http())
                }
            }
        })
    }
}
