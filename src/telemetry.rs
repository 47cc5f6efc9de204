//! The agent's log: to standard error, for whoever runs it.

use tracing_subscriber::EnvFilter;

/// Starts the log. `REMORA_LOG` (such as `debug`, or `remora=trace`) sets what it holds; `REMORA_LOG_FORMAT=json` makes
/// a JSON object of each line.
pub fn start() {
    let wanted = std::env::var("REMORA_LOG").ok().filter(|wanted| !wanted.is_empty());
    let mut filter =
        wanted.and_then(|wanted| EnvFilter::try_new(wanted).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    // The client of Kubernetes logs answers that it cannot read, and the API server repeats a caller's token in some.
    if let Ok(silence) = "kube_client=off".parse() {
        filter = filter.add_directive(silence);
    }
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if std::env::var("REMORA_LOG_FORMAT").is_ok_and(|format| format == "json") {
        log.json().init();
    } else {
        log.with_ansi(false).init();
    }
}
