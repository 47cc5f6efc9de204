//! `remora build`.

use std::{
    collections::BTreeMap,
    env::VarError,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    args::{Build, Connection, Network},
    ci, connect, excerpt, follow, ignored, lend, metadata,
    progress::Progress,
    text,
};
use crate::model::{self, BuildRequest, Failure, FailureKind, Report};

pub(super) async fn build(connection: &Connection, args: Build) -> Result<(), Failure> {
    let context = context(&args.context)?;
    let dockerfile = dockerfile(&args.context, args.file.as_deref())?;
    if args.push && args.tags.is_empty() {
        return Err(usage("--push without a tag: there is no name to push to")
            .next("name the image with -t REGISTRY/REPOSITORY:TAG"));
    }
    let build_args = build_args(args.build_args)?;
    let (cache_from, cache) = args.cache.request(ci::variables())?;
    for path in [&args.iidfile, &args.metadata_file].into_iter().flatten() {
        remove(path)?;
    }
    let mut agent = connect::connect(connection).await?;
    let path = dockerfile.directory.join(&dockerfile.name);
    let name = dockerfile.name.clone();
    let root = context.clone();
    let session = lend::lend(&agent.client, lend::Lending::build(context, dockerfile.directory, name.as_ref()))?;
    let request = BuildRequest {
        session: session.id.clone(),
        dockerfile: dockerfile.name,
        tags: args.tags,
        target: args.target,
        build_args,
        labels: args.labels.into_iter().collect(),
        no_cache: args.no_cache,
        pull: args.pull,
        platforms: args.platforms,
        network: match args.network {
            Network::Default => model::Network::Default,
            Network::None => model::Network::None,
            Network::Host => model::Network::Host,
        },
        cache_from,
        cache,
        push: args.push,
        load: args.load,
        wait: agent.wait,
    };
    let mut progress = Progress::new(args.quiet);
    let call = agent.client.build(crate::pb::BuildRequest::from(request));
    let report = match follow::follow(call, &mut progress).await {
        Ok(report) => report,
        Err(failure) => return Err(located(ignored::explain(session.explain(failure), &root, &path), &path, &name)),
    };
    if let Some(path) = &args.iidfile {
        if report.image_id.is_empty() {
            return Err(usage("--iidfile: the build worked, and made no image that could have an id")
                .next("use --push: this engine keeps no images"));
        }
        write(path, &report.image_id)?;
    }
    if let Some(path) = &args.metadata_file {
        write(path, &metadata::metadata(&report))?;
    }
    if args.quiet && !report.image_id.is_empty() {
        text::data(&report.image_id);
    } else if !args.quiet {
        summary(&report);
    }
    Ok(())
}

fn usage(what: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Usage, what)
}

fn context(path: &Path) -> Result<PathBuf, Failure> {
    let text = path.to_string_lossy();
    if text == "-" || text.contains("://") || text.starts_with("git@") {
        return Err(usage(format!("the build context {text}: only directories are supported so far"))
            .next("check it out or unpack it, and name its directory"));
    }
    let found = path.canonicalize().and_then(|full| Ok((fs::metadata(&full)?.is_dir(), full)));
    match found {
        Ok((true, full)) => Ok(full),
        Ok((false, _)) => Err(usage(format!("the build context {} is no directory", path.display()))
            .next("name the directory that holds what the Dockerfile copies, such as .")),
        Err(error) => Err(usage(format!("the build context {}: {error}", path.display()))
            .next("name an existing directory, such as .")),
    }
}

struct Dockerfile {
    directory: PathBuf,
    name: String,
}

/// The Dockerfile may lie outside the context: its own directory is served for it.
fn dockerfile(context: &Path, file: Option<&Path>) -> Result<Dockerfile, Failure> {
    let path = match file {
        Some(file) => file.to_owned(),
        None => context.join("Dockerfile"),
    };
    let problem = |error: &dyn std::fmt::Display| {
        usage(format!("the Dockerfile {}: {error}", path.display())).next("name it with -f, relative to where you are")
    };
    // Looked at before it is opened: a pipe would wait for its writer.
    let found = fs::metadata(&path)
        .and_then(|file| if file.is_file() { fs::File::open(&path).map(|_| true) } else { Ok(false) });
    match found {
        Ok(true) => {}
        Ok(false) => return Err(problem(&"it is no file")),
        // The frontend takes this spelling as well.
        Err(error)
            if file.is_none() && error.kind() == io::ErrorKind::NotFound && context.join("dockerfile").is_file() => {}
        Err(error) => return Err(problem(&error)),
    }
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| problem(&"its name is not UTF-8"))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = directory.canonicalize().map_err(|e| problem(&e))?;
    Ok(Dockerfile { directory, name: name.to_owned() })
}

/// A build arg without a value takes that of the environment, and is left out where there is none.
fn build_args(args: Vec<(String, Option<String>)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut given = BTreeMap::new();
    for (name, value) in args {
        let value = match value {
            Some(value) => Some(value),
            None => match std::env::var(&name) {
                Ok(value) => Some(value),
                Err(VarError::NotPresent) => None,
                Err(VarError::NotUnicode(_)) => {
                    return Err(usage(format!("--build-arg {name}: its value in the environment is not UTF-8"))
                        .next("give the value with --build-arg NAME=VALUE"));
                }
            },
        };
        given.extend(value.map(|value| (name, value)));
    }
    Ok(given)
}

/// What an earlier build wrote must not be taken for this one's. Links and devices are written through, not removed.
fn remove(path: &Path) -> Result<(), Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        usage(format!("{} cannot be written: {error}", path.display())).next("name another file")
    };
    match fs::symlink_metadata(path) {
        Ok(file) if file.is_file() => fs::remove_file(path).map_err(|e| cannot(&e)),
        Ok(file) if file.is_dir() => Err(cannot(&"it is a directory")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot(&error)),
        Err(_) => match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) if !parent.is_dir() => Err(cannot(&"its directory does not exist")),
            _ => Ok(()),
        },
    }
}

/// Adds the lines at fault, where the engine did not tell them.
fn located(mut failure: Failure, path: &Path, name: &str) -> Failure {
    if failure.excerpt.is_none() && failure.kind == FailureKind::Build {
        failure.excerpt = fs::read_to_string(path).ok().and_then(|text| excerpt::find(&failure, name, &text));
    }
    failure
}

fn write(path: &Path, content: &str) -> Result<(), Failure> {
    fs::write(path, content).map_err(|e| {
        usage(format!("the build worked, and {} cannot be written: {e}", path.display())).next("name another file")
    })
}

fn summary(report: &Report) {
    let pushed = match report.pushed_bytes {
        Some(bytes) => format!("{} of layers (uncompressed) to registries", text::bytes(bytes)),
        None => "what was new to registries (this engine does not say how much)".to_owned(),
    };
    text::notice(&format!(
        "{} of {} steps cached; sent {} of context, {pushed}; received {}; {}",
        report.cached_steps,
        report.steps,
        text::bytes(report.context_bytes),
        text::bytes(report.pulled_bytes),
        text::seconds(report.elapsed_ms),
    ));
    let digest = if report.digest.is_empty() { &report.image_id } else { &report.digest };
    match report.tags.as_slice() {
        _ if digest.is_empty() => {}
        [] => text::notice(digest),
        tags => tags.iter().for_each(|tag| {
            text::notice(&format!("{tag} {}", report.pushed.get(tag).unwrap_or(digest)));
        }),
    }
}
