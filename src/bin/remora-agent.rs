//! The agent: a gRPC server beside a Docker engine.
#![allow(clippy::doc_markdown, rustdoc::bare_urls)] // --help shows the comments of `Args` as they are

use std::{fmt, path::PathBuf, process::ExitCode};

use clap::Parser;
use remora::{
    config::{AccessFlags, Config, Flags, Mistake},
    engine::Engine,
    service::{self, Agent},
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
    /// Where to listen: unix:///path (mode 0660), or tcp://address:port, which needs authentication, and beyond loopback
    /// TLS; repeatable [default: unix:///run/remora/agent.sock]
    #[arg(long, value_name = "URL")]
    listen: Vec<String>,
    /// Let builds ask for this entitlement: network.host or security.insecure
    #[arg(long, value_name = "NAME")]
    allow_entitlement: Vec<String>,
    /// This registry speaks plain HTTP; repeatable. Loopback does by itself
    #[arg(long, value_name = "HOST[:PORT]")]
    insecure_registry: Vec<String>,
    /// How much longer a build may take for registries that do not say which cache refs exist [default: 2s]
    #[arg(long, value_name = "TIME")]
    cache_deadline: Option<String>,
    /// A TOML file whose keys are named as the flags, with _ for -; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    access: AccessFlags,
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
    // An error means that it is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let token = std::env::var("REMORA_TOKEN").ok().filter(|token| !token.is_empty());
    let missing = config.access.missing(&config.listen, token.is_some());
    if !missing.is_empty() {
        return Err(Refusal(missing));
    }
    let (listeners, settings) = service::open(&config, token).await.map_err(one)?;
    tracing::info!(
        listen = config.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        engine = %config.engine,
        version = env!("CARGO_PKG_VERSION"),
        "started"
    );
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
        access: args.access,
        allow_entitlement: args.allow_entitlement,
        insecure_registry: args.insecure_registry,
        cache_deadline: args.cache_deadline,
    };
    Config::resolve(&flags, |name| std::env::var(name).ok(), file).map_err(|mistakes| refuse("", mistakes))
}
