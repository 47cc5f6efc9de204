//! Puts it all behind one server, and lets it go down gently.

use std::{convert::Infallible, io, time::Duration};

use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Server;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{
    Agent, Listener, Settings,
    door::{Door, Guarded},
    incoming::incoming,
};
use crate::{engine::State, pb::build_agent_server::BuildAgentServer};

/// The name under which health is told, beside the empty one.
const SERVICE: &str = "remora.v1.BuildAgent";
/// HTTP/2 window of one stream towards the agent, in bytes: it bounds what is held of a context.
const STREAM_WINDOW: u32 = 1 << 20;
/// HTTP/2 window of one client's connection, in bytes.
const CONNECTION_WINDOW: u32 = 2 << 20;
/// The most calls of one connection at once: a build needs two.
const STREAMS: u32 = 128;
/// The longest message that is read of somebody who has shown nothing yet, in bytes: the name of a service.
const STRANGERS: usize = 4096;
/// How long connections may linger once the last call has done its work.
const LINGER: Duration = Duration::from_secs(2);

/// Serves until `shutdown`, then takes no new work, finishes what runs, and returns.
pub async fn serve(agent: Agent, listeners: Vec<Listener>, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let Settings { token, cluster, .. } = &agent.inner.settings;
    let door = Door { token: token.clone(), cluster: cluster.clone() };
    let lets_everyone_in = |listener: &Listener| match listener {
        Listener::Unix(..) => false,
        Listener::Tcp(_, tls) => !tls.as_ref().is_some_and(|tls| tls.asks_for_certificates()),
    };
    if token.is_none() && cluster.is_none() && listeners.iter().any(lets_everyone_in) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "TCP without authentication would let everyone in"));
    }
    let (reporter, health) = tonic_health::server::health_reporter();
    // Health is told for as long as somebody may ask.
    let _reporting = AbortOnDropHandle::new(tokio::spawn(report_health(agent.clone(), reporter)));
    let look = agent.clone();
    let _looking = AbortOnDropHandle::new(tokio::spawn(async move { super::diagnose::log(&look.inner).await }));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crate::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let router = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(256 << 10)
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(health.max_decoding_message_size(STRANGERS))
        .add_service(reflection().build_v1().map_err(io::Error::other)?.max_decoding_message_size(STRANGERS))
        // What older clients ask for.
        .add_service(reflection().build_v1alpha().map_err(io::Error::other)?.max_decoding_message_size(STRANGERS))
        .add_service(Guarded::new(door, BuildAgentServer::new(agent.clone())));
    let stopping = agent.inner.draining.clone();
    // The files go last: who sees the socket knows that the engine is still needed.
    let (connections, _files) = incoming(listeners, &stopping);
    let connections = ReceiverStream::new(connections).map(Ok::<_, Infallible>);
    let serving = router.serve_with_incoming_shutdown(connections, stopping.cancelled_owned());
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => return served.map_err(io::Error::other),
        () = shutdown => {}
    }
    tracing::info!(calls = agent.inner.running.len(), "draining");
    agent.inner.draining.cancel();
    agent.inner.running.close();
    let idle = async {
        agent.inner.running.wait().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        served = &mut serving => {
            // Nobody is connected any more: a prune goes on all the same.
            agent.inner.running.wait().await;
            served.map_err(io::Error::other)
        }
        () = idle => Ok(()),
    }
}

/// Serving means that the engine has answered ping and `ListWorkers`, and that the agent takes work.
async fn report_health(agent: Agent, reporter: HealthReporter) {
    let mut engine = agent.inner.engine.clone();
    loop {
        let ready = matches!(engine.state(), State::Ready(_)) && !agent.inner.draining.is_cancelled();
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status("", status).await;
        reporter.set_service_status(SERVICE, status).await;
        tokio::select! {
            () = engine.changed() => {}
            () = agent.inner.draining.cancelled(), if !agent.inner.draining.is_cancelled() => {}
        }
    }
}
