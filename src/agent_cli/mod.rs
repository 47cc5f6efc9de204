//! The agent's command line: it serves, or does one of the small things that a pod wants of it.
//!
//! | module | what it does |
//! | --- | --- |
//! | `args` | the command line |
//! | `healthcheck` | whether the agent takes builds, for probes |
//! | `install` | the static client > a volume that steps see |
//! | `prepare` | the pod > the `daemon.json` of its engine (`dind` decides) |
//! | `serve` | no subcommand: flags, variables and file > a running agent |
//!
//! Absent: what a served call does (`service`).

mod args;
mod healthcheck;
mod install;
mod prepare;
mod serve;

use std::{
    fs::Permissions,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::ExitCode,
};

use args::{Args, Command};
use clap::{CommandFactory as _, Parser as _};

use crate::manual;

/// Runs the agent's program.
pub fn run() -> ExitCode {
    let Args { serve, command } = Args::parse();
    let Some(command) = command else { return serve::run(serve) };
    let done = match command {
        Command::Healthcheck(args) => match healthcheck::address(&args, |name| std::env::var(name).ok()) {
            Ok(address) => healthcheck::run(&args, &address),
            Err(mistake) => return refuse(&mistake),
        },
        Command::Install(args) => install::run(&args.directory),
        Command::PrepareEngine(args) => prepare::run(*args),
        Command::Man(man) => manual::write(Args::command(), &man.directory).map(|pages| print(&pages.join("\n"))),
        Command::Completion(completion) => {
            let mut script = Vec::new();
            clap_complete::generate(completion.shell, &mut Args::command(), "remora-agent", &mut script);
            print(String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

/// What the command line is not fit for.
fn refuse(mistake: &str) -> ExitCode {
    complain(mistake);
    ExitCode::from(2)
}

/// Writes a file of this mode, which has its name once it is whole.
fn put(content: &[u8], place: &Path, mode: u32) -> io::Result<()> {
    let directory = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.persist(place).map(drop).map_err(|error| error.error)
}

/// Data, on standard output. Nobody may be reading any more.
fn print(lines: &str) {
    drop(writeln!(io::stdout().lock(), "{lines}"));
}

/// What went wrong, on standard error.
fn complain(lines: &str) {
    drop(writeln!(io::stderr().lock(), "remora-agent: {lines}"));
}
