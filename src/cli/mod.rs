//! The client: reads the command line, lends what a build needs, shows what happens, and exits with a code that means
//! something.
//!
//! | module | what it does |
//! | --- | --- |
//! | `args` | the command line |
//! | `connect` | waits for the agent and connects |
//! | `lend` | opens the session in which the client serves its context and credentials |
//! | `build`, `push`, `prune`, `info` | one command each |
//! | `progress`, `text` | events > lines |
//! | `metadata` | `--metadata-file` |
//! | `excerpt`, `ignored` | the lines at fault, of the Dockerfile and of .dockerignore |
//! | `exit` | failure > what a person reads, and the exit code |
//!
//! Absent: engine, strategy, service. What this room knows of them comes over the wire.

mod args;
mod build;
mod connect;
mod excerpt;
mod exit;
mod follow;
mod ignored;
mod info;
mod lend;
mod metadata;
mod progress;
mod prune;
mod push;
mod text;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::model::Failure;

/// Runs the client.
pub fn run() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::internal(&error),
    };
    let code = runtime.block_on(until_signal(dispatch(args)));
    // Threads that still read the context, or write to somebody who does not read, are not waited for.
    runtime.shutdown_background();
    code
}

async fn dispatch(args: Args) -> ExitCode {
    let Args { connection, command } = args;
    let result: Result<(), Failure> = match command {
        Command::Build(build) => build::build(&connection, *build).await,
        Command::Push(push) => push::push(&connection, push).await,
        Command::Prune(prune) => prune::prune(&connection, prune).await,
        Command::Info(info) => info::info(&connection, info).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure),
    }
}

/// A signal ends the work: with the process its connection goes, and the agent cancels what it had begun.
///
/// The work has a task of its own, for it may stand still in a write to somebody who does not read.
async fn until_signal(work: impl Future<Output = ExitCode> + Send + 'static) -> ExitCode {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return work.await;
    };
    let work = tokio::spawn(work);
    tokio::select! {
        done = work => done.unwrap_or_else(|error| exit::internal(&error)),
        _ = interrupt.recv() => exit::interrupted("interrupted", exit::INTERRUPTED).await,
        _ = terminate.recv() => exit::interrupted("terminated", exit::TERMINATED).await,
    }
}
