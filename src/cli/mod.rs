//! The client: reads the command line, lends what a build needs, shows what happens, and exits with a code that means
//! something.
//!
//! | module | what it does |
//! | --- | --- |
//! | `args` | the command line |
//! | `answer` | what the frontend was asked in place of a build |
//! | `ci` | what the CI says of the job |
//! | `connect` | where one agent is, and the connection to it |
//! | `pool` | several agents behind one address: which of them takes a call |
//! | `lend` | opens the session in which the client serves its context and credentials |
//! | `context`, `dockerfile`, `archive`, `named` | what the build context is, where its Dockerfile lies, further contexts |
//! | `build`, `plan`, `push`, `prune`, `info`, `doctor`, `du`, `ps`, `cancel`, `version` | one command each |
//! | `ask` | what `build` and `plan` ask of the agent |
//! | `progress` | events > what a person sees of them |
//! | `text` | lines of our own |
//! | `wait` | the wait for an agent |
//! | `summary` | a build's report > lines |
//! | `metadata` | `--metadata-file` |
//! | `excerpt`, `ignored` | the lines at fault, of the Dockerfile and of .dockerignore |
//! | `fetched` | what a failure means where the engine fetches the context |
//! | `cause`, `missing` | what a failed step most likely met; a file that is not in the context, and like names |
//! | `exit` | failure > what a person reads, and the exit code |
//!
//! Absent: engine, strategy, service. What this room knows of them comes over the wire.

mod answer;
mod archive;
mod args;
mod ask;
mod build;
mod cancel;
mod cause;
mod ci;
mod connect;
mod context;
mod dockerfile;
mod doctor;
mod du;
mod excerpt;
mod exit;
mod export;
mod fetched;
mod follow;
mod ignored;
mod info;
mod lend;
mod metadata;
mod missing;
mod named;
mod plan;
mod pool;
mod progress;
mod prune;
mod ps;
mod push;
mod summary;
mod text;
mod version;
mod wait;

use std::{process::ExitCode, time::Duration};

use args::{Args, Command, Completion};
use clap::CommandFactory as _;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    manual,
    model::{Failure, FailureKind},
};

/// Runs the client.
pub fn run() -> ExitCode {
    let args = args::parse();
    match args.command {
        Command::Completion(Completion { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "remora", &mut script);
            text::data(String::from_utf8_lossy(&script).trim_end());
            return ExitCode::SUCCESS;
        }
        Command::Man(man) => match manual::write(Args::command(), &man.directory) {
            Ok(pages) => {
                text::data(&pages.join("\n"));
                return ExitCode::SUCCESS;
            }
            Err(why) => return exit::report(&usage(why)),
        },
        _ => {}
    }
    // The work has threads of its own, and this one waits for signals: a write to somebody who does not read stops the
    // thread that it is made on, and must not stop Ctrl-C.
    let runtimes = (Builder::new_multi_thread().worker_threads(2).enable_all().build(), signals());
    let (work, signals) = match runtimes {
        (Ok(work), Ok(signals)) => (work, signals),
        (Err(error), _) | (_, Err(error)) => return exit::internal(&error),
    };
    let becomes = match args.command {
        Command::Prune(_) => "a prune that has begun goes on to its end",
        _ => "the agent cancels what was begun",
    };
    let code = signals.block_on(until_signal(work.spawn(dispatch(args)), becomes));
    // Threads that still read the context, or write, are not waited for.
    work.shutdown_background();
    signals.shutdown_background();
    code
}

/// What the command line, or what it names, is not fit for.
fn usage(what: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Usage, what)
}

fn signals() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn dispatch(args: Args) -> ExitCode {
    let Args { connection, command } = args;
    let result: Result<(), Failure> = match command {
        Command::Build(build) => {
            return Box::pin(build::build(&connection, *build)).await.unwrap_or_else(|failure| exit::report(&failure));
        }
        Command::Plan(plan) => Box::pin(plan::plan(&connection, *plan)).await,
        Command::Doctor(doctor) => {
            return doctor::doctor(&connection, doctor).await.unwrap_or_else(|failure| exit::report(&failure));
        }
        Command::Push(push) => push::push(&connection, push).await,
        Command::Prune(prune) => prune::prune(&connection, prune).await,
        Command::Info(info) => info::info(&connection, info).await,
        Command::Du(du) => du::du(&connection, du).await,
        Command::Ps(ps) => ps::ps(&connection, ps).await,
        Command::Cancel(cancel) => cancel::cancel(&connection, cancel).await,
        Command::Version => version::version(&connection).await,
        // It was done before there was anybody to talk to.
        Command::Completion(_) | Command::Man(_) => Ok(()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure),
    }
}

/// How long an interrupted call may take to remove what it has begun.
const CLEANING_UP: Duration = Duration::from_millis(500);

/// A signal ends the work: with the process its connection goes, and the agent cancels what it had begun.
async fn until_signal(mut work: JoinHandle<ExitCode>, becomes: &str) -> ExitCode {
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    let (mut interrupt, mut terminate) = match (interrupt, terminate) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return exit::internal(&error),
    };
    let (what, code) = tokio::select! {
        done = &mut work => return done.unwrap_or_else(|error| exit::internal(&error)),
        _ = interrupt.recv() => ("interrupted", exit::INTERRUPTED),
        _ = terminate.recv() => ("terminated", exit::TERMINATED),
    };
    // It takes the files along that it has begun; one that is stuck in a write keeps nobody.
    work.abort();
    drop(tokio::time::timeout(CLEANING_UP, work).await);
    exit::interrupted(what, becomes, code).await
}
