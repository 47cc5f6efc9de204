//! Flags, variables and file > a running agent.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::Serve;
use crate::{
    config::{Config, FileConfig, Flags, Mistake},
    engine::Engine,
    service::{self, Agent},
};

/// Why the agent does not start, each reason by itself.
struct Refusal(Vec<String>);

/// Serves until it is told to stop.
pub(super) fn run(args: Serve) -> ExitCode {
    crate::telemetry::start();
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            for line in refusal.0.iter().flat_map(|reason| reason.lines()) {
                tracing::error!("{line}");
            }
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn serve(args: Serve) -> Result<(), Refusal> {
    let one = |line: String| Refusal(vec![line]);
    let config = configuration(args)?;
    // An error means that it is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let token = std::env::var("REMORA_TOKEN").ok().filter(|token| !token.is_empty());
    let missing = config.access.missing(&config.listen, token.is_some());
    if !missing.is_empty() {
        return Err(Refusal(missing));
    }
    let (listeners, settings) = service::open(&config, token).await.map_err(one)?;
    let listen: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    tracing::info!(listen = listen.join(","), engine = %config.engine, version = env!("CARGO_PKG_VERSION"), "started");
    let agent = Agent::new(Engine::connect(config.engine), settings);
    let mut term = signal(SignalKind::terminate()).map_err(|e| one(e.to_string()))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| one(e.to_string()))?;
    let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
    let (draining, stopping) = (drain.clone(), stop.clone());
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
        draining.cancel();
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
        tracing::warn!("told to stop again: running builds are cancelled");
        stopping.cancel();
    });
    let served = service::serve(agent, listeners, drain.cancelled_owned());
    tokio::select! {
        served = served => served.map_err(|e| one(e.to_string()))?,
        () = stop.cancelled() => {}
    }
    tracing::info!("stopped");
    Ok(())
}

fn configuration(args: Serve) -> Result<Config, Refusal> {
    let refuse = |file: &str, mistakes: Vec<Mistake>| {
        Refusal(mistakes.iter().map(|mistake| format!("{file}{mistake}")).collect())
    };
    let file = match &args.config {
        None => FileConfig::default(),
        Some(path) => {
            let name = format!("{}: ", path.display());
            let text = std::fs::read_to_string(path).map_err(|e| Refusal(vec![format!("{name}{e}")]))?;
            Config::from_file_text(&text).map_err(|mistakes| refuse(&name, mistakes))?
        }
    };
    let flags = Flags {
        engine: args.engine,
        listen: args.listen,
        access: args.access,
        allow_entitlement: args.allow_entitlement,
        insecure_registry: args.insecure_registry,
        cache_deadline: args.cache_deadline,
        name: args.name,
        max_builds: args.max_builds,
        max_queue: args.max_queue,
    };
    Config::resolve(&flags, |name| std::env::var(name).ok(), file).map_err(|mistakes| refuse("", mistakes))
}
