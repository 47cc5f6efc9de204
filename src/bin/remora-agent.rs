//! The agent: a gRPC server beside a Docker engine.
#![allow(clippy::doc_markdown, rustdoc::bare_urls)] // --help shows the comments of `Args` as they are

use std::{fmt, path::PathBuf, process::ExitCode};

use clap::Parser;
use remora::{
    config::{Config, Flags, Mistake},
    engine::Engine,
    model::ListenUrl,
    service::{self, Agent, Listener, Settings},
    strategy::queue::Limits,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What was freed is no longer there to read: credentials and secrets pass through.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Builds, pushes and prunes beside a Docker engine or a buildkitd, for `remora`, its client.
///
/// Without --engine it asks REMORA_ENGINE, then DOCKER_HOST (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH for mutual
/// TLS), then unix:///var/run/docker.sock. It need not be there yet: the agent waits for it, and finds it again when it
/// restarts. SIGTERM lets running builds finish; a second one does not.
#[derive(Parser)]
#[command(name = "remora-agent", version, max_term_width = 100)]
struct Args {
    /// The engine: unix:///path or tcp://host:port
    #[arg(long, value_name = "URL")]
    engine: Option<String>,
    /// Where to listen: unix:///path (mode 0660), or tcp://127.0.0.1:port with REMORA_TOKEN set
    /// [default: unix:///run/remora/agent.sock]
    #[arg(long, value_name = "URL")]
    listen: Option<String>,
    /// Let builds ask for this entitlement: network.host or security.insecure
    #[arg(long, value_name = "NAME")]
    allow_entitlement: Vec<String>,
    /// This registry speaks plain HTTP; repeatable. Loopback does by itself
    #[arg(long, value_name = "HOST[:PORT]")]
    insecure_registry: Vec<String>,
    /// How much longer a build may take for registries that do not say which cache refs exist [default: 2s]
    #[arg(long, value_name = "TIME")]
    cache_deadline: Option<String>,
    /// What the agent is called among those of a pool [default: the host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How many builds run at once; the others wait [default: 0, without limit]
    #[arg(long, value_name = "N")]
    max_builds: Option<String>,
    /// How many builds wait; more are turned away [default: 32]
    #[arg(long, value_name = "N")]
    max_queue: Option<String>,
    /// A TOML file with the keys engine, listen, allow_entitlement, insecure_registry, cache_deadline, name, max_builds
    /// and max_queue; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Why the agent does not start, one line for each reason.
struct Refusal(Vec<String>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

fn main() -> ExitCode {
    remora::telemetry::start();
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            for line in refusal.to_string().lines() {
                tracing::error!("{line}");
            }
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn run(args: Args) -> Result<(), Refusal> {
    let one = |line: String| Refusal(vec![line]);
    let config = configuration(args)?;
    let settings = Settings {
        allow_entitlement: config.allow_entitlement.iter().map(|e| e.as_str().to_owned()).collect(),
        insecure_registry: config.insecure_registry,
        token: std::env::var("REMORA_TOKEN").ok().filter(|token| !token.is_empty()),
        cache_deadline: config.cache_deadline,
        name: config.name.unwrap_or_else(host_name),
        limits: Limits { running: config.max_builds, waiting: config.max_queue },
    };
    // An error means that it is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    if matches!(config.listen, ListenUrl::Tcp(_)) && settings.token.is_none() {
        return Err(one(format!(
            "listening on {} needs a token: set REMORA_TOKEN for the agent and its clients, or listen on a unix socket",
            config.listen
        )));
    }
    let listener =
        Listener::bind(&config.listen).await.map_err(|e| one(format!("cannot listen on {}: {e}", config.listen)))?;
    tracing::info!(listen = %config.listen, engine = %config.engine, version = env!("CARGO_PKG_VERSION"), "started");
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
    let served = service::serve(agent, listener, drain.cancelled_owned());
    tokio::select! {
        served = served => served.map_err(|e| one(e.to_string()))?,
        () = stop.cancelled() => {}
    }
    tracing::info!("stopped");
    Ok(())
}

/// In a pod, the pod's: it stays when a pod of a StatefulSet is made anew.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn configuration(args: Args) -> Result<Config, Refusal> {
    let refuse = |file: &str, mistakes: Vec<Mistake>| {
        Refusal(mistakes.iter().map(|mistake| format!("{file}{mistake}")).collect())
    };
    let file = match &args.config {
        None => remora::config::FileConfig::default(),
        Some(path) => {
            let name = format!("{}: ", path.display());
            let text = std::fs::read_to_string(path).map_err(|e| Refusal(vec![format!("{name}{e}")]))?;
            Config::from_file_text(&text).map_err(|mistakes| refuse(&name, mistakes))?
        }
    };
    let flags = Flags {
        engine: args.engine,
        listen: args.listen,
        allow_entitlement: args.allow_entitlement,
        insecure_registry: args.insecure_registry,
        cache_deadline: args.cache_deadline,
        name: args.name,
        max_builds: args.max_builds,
        max_queue: args.max_queue,
    };
    Config::resolve(&flags, |name| std::env::var(name).ok(), file).map_err(|mistakes| refuse("", mistakes))
}
