//! `remora-agent healthcheck`: gRPC health of the agent beside it, as an exit code.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::{Instant, sleep, timeout},
};
use tonic::{Request, metadata::MetadataValue};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::args::Healthcheck;
use crate::{
    config::DEFAULT_LISTEN as DEFAULT,
    grpc::Channel,
    model::ListenUrl,
    pb::{InfoRequest, build_agent_client::BuildAgentClient},
};

/// What one question may take: a probe of Kubernetes gives up after a second, and then tells nothing.
const PATIENCE: Duration = Duration::from_millis(800);
/// The pause before the next one.
const AGAIN: Duration = Duration::from_millis(100);

/// Whom to ask. `variable` looks up a variable of the environment.
pub(super) fn address(args: &Healthcheck, variable: impl Fn(&str) -> Option<String>) -> Result<ListenUrl, String> {
    let next = "name a unix socket of the agent with --agent";
    // Beyond loopback the token would go in the clear.
    let read = |text: &str| match ListenUrl::parse(text) {
        Ok(url) if url.is_beyond_loopback() => Err(format!("{url} wants TLS and a login; {next}")),
        Ok(url) => Ok(url),
        Err(error) => Err(format!("{error}; {next}")),
    };
    if let Some(text) = &args.agent {
        return read(text).map_err(|error| format!("--agent: {error}"));
    }
    let listen = variable("REMORA_LISTEN").filter(|text| !text.is_empty()).unwrap_or_else(|| DEFAULT.to_owned());
    // Of several the socket is asked: it needs neither a certificate nor a token.
    let all: Vec<_> = listen.split(',').map(str::trim).collect();
    let one = all.iter().find(|text| text.starts_with("unix:")).or(all.first()).copied().unwrap_or(DEFAULT);
    read(one).map_err(|error| format!("REMORA_LISTEN: {error}"))
}

/// The error is one line: why it takes no builds.
pub(super) fn run(args: &Healthcheck, agent: &ListenUrl) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let deadline = Instant::now() + args.wait;
        loop {
            let asked = timeout(PATIENCE, ask(agent, args.live)).await;
            let silent = |_| Err(format!("the agent at {agent} accepts the connection, and does not answer"));
            let Err(why) = asked.unwrap_or_else(silent) else { return Ok(()) };
            if Instant::now() + AGAIN > deadline {
                return Err(why);
            }
            sleep(AGAIN).await;
        }
    })
}

async fn ask(agent: &ListenUrl, live: bool) -> Result<(), String> {
    let nobody = |error| format!("no agent answers at {agent}: {error}; it is not up yet, or is shutting down");
    match agent {
        ListenUrl::Unix(path) => talk(UnixStream::connect(path).await.map_err(nobody)?, live).await,
        ListenUrl::Tcp(address) => talk(TcpStream::connect(address).await.map_err(nobody)?, live).await,
    }
}

async fn talk<IO>(io: IO, live: bool) -> Result<(), String>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (channel, driver) = Channel::handshake(TokioIo::new(io)).await.map_err(|e| e.to_string())?;
    tokio::spawn(driver);
    let health = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
    let health = health.map_err(|status| format!("what answers is no remora-agent: {}", status.message()))?;
    if live || health.into_inner().status() == ServingStatus::Serving {
        return Ok(());
    }
    Err(match problem(channel).await.as_deref() {
        Some("") => "the agent is shutting down, and takes no new builds".to_owned(),
        Some(problem) => format!("the engine is not ready: {problem}"),
        None => "the agent takes no builds; its log tells why".to_owned(),
    })
}

/// What the agent says of its engine: nothing where that is there. `None` where it does not tell us.
async fn problem(channel: Channel) -> Option<String> {
    let mut request = Request::new(InfoRequest {});
    if let Ok(token) = std::env::var("REMORA_TOKEN") {
        let mut token: MetadataValue<_> = format!("Bearer {token}").parse().ok()?;
        token.set_sensitive(true);
        request.metadata_mut().insert("authorization", token);
    }
    let info = BuildAgentClient::new(channel).info(request).await.ok()?.into_inner();
    Some(if info.engine.is_some() { String::new() } else { info.engine_problem })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_several_sockets_the_one_without_a_certificate_is_asked() {
        let ask = |agent: Option<&str>, listen: &str| {
            let args = Healthcheck { agent: agent.map(str::to_owned), wait: Duration::ZERO, live: false };
            address(&args, |name| (name == "REMORA_LISTEN").then(|| listen.to_owned())).map(|url| url.to_string())
        };
        assert_eq!(ask(None, "").unwrap(), DEFAULT);
        assert_eq!(ask(None, "tcp://127.0.0.1:7733, unix:///a.sock").unwrap(), "unix:///a.sock");
        assert_eq!(ask(None, "tcp://127.0.0.1:7733").unwrap(), "tcp://127.0.0.1:7733");
        assert_eq!(ask(Some("unix:///b.sock"), "unix:///a.sock").unwrap(), "unix:///b.sock");
        assert!(ask(Some("b.sock"), "").unwrap_err().contains("--agent"));
        assert!(ask(None, "tcp://0.0.0.0:7733").unwrap_err().contains("unix socket"));
        assert!(ask(Some("tcp://10.0.0.1:7733"), "").unwrap_err().contains("unix socket"));
    }
}
