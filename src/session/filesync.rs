//! `moby.filesync.v1.FileSync`: sends directories to the engine, by fsutil's protocol.
//!
//! One blocking thread walks, others read what is asked for; all feed one bounded [`output`]. So memory is bounded by
//! its buffers, and by the table of paths. An unreadable file fails the transfer, is told to the engine, and is kept for
//! the caller: fsutil's own sender puts an empty file in its place.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::from_utf8;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use tokio::task::{JoinSet, spawn_blocking};
use tonic::body::Body;
use tonic::{Status, Streaming};
use tonic_prost::ProstDecoder;

use super::directory::Directory;
use super::filter::{self, Filter, Selection};
use super::output::{self, Output};
use super::packet::{Kind, Packet, frame};
use super::problems::{Counters, Problem, Problems};
use super::root::Root;
use super::walk::{self, Walk, mode};

mod ask;
mod read;
mod table;

use ask::Ask;
use read::{Error, Readers};

/// The most that a receiver has to say at once: a request is a few bytes, an ERR a line.
const PACKET_MAX: usize = 64 * 1024;
/// Stats are sent together, up to this many bytes or this long after the last ones.
const BATCH: usize = 32 * 1024;
const BATCH_TIME: Duration = Duration::from_millis(5);

/// What a transfer leaves behind.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) counters: Arc<Counters>,
    pub(super) problems: Problems,
}

/// Which directory a call asks for. `None` where that cannot be read.
#[cfg(feature = "agent")]
pub(super) fn directory(headers: &http::HeaderMap) -> Option<String> {
    Ask::read(headers).ok().map(|ask| ask.directory)
}

/// Answers one `DiffCopy` call with one of `dirs`, by the name that it asks for.
pub(super) fn diff_copy<B>(request: Request<B>, dirs: &BTreeMap<String, Directory>, told: Told) -> Response<Body>
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let ask = match Ask::read(request.headers()) {
        Ok(ask) => ask,
        Err(reason) => return Status::invalid_argument(reason).into_http(),
    };
    let Some(directory) = dirs.get(&ask.directory) else {
        return Status::not_found(format!("no access allowed to dir \"{}\"", ask.directory)).into_http();
    };
    let packets =
        Streaming::new_request(ProstDecoder::<Packet>::default(), request.into_body(), None, Some(PACKET_MAX));
    let (output, pieces) = output::channel();
    tokio::spawn(transfer(directory.clone(), ask.selection, packets, output, told));
    let mut response = Response::new(Body::new(pieces));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Owns one transfer, from its first stat to its FIN or its failure.
async fn transfer(
    directory: Directory,
    selection: Selection,
    mut packets: Streaming<Packet>,
    output: Output,
    told: Told,
) {
    let path = directory.path.clone();
    let readers = match spawn_blocking(move || Root::open(&path)).await {
        Ok(Ok(root)) => Arc::new(Readers::new(root.into(), output.clone(), told.counters.clone())),
        Ok(Err(cause)) => return fail(unreadable(&directory.path, &cause), &output, &told).await,
        Err(_) => return,
    };
    let mut threads = JoinSet::new();
    let (walker, problems) = (readers.clone(), told.problems.clone());
    threads.spawn_blocking(move || send_stats(&walker, &directory, selection, &problems));
    loop {
        tokio::select! {
            packet = packets.message() => match react(packet, &readers) {
                Reaction::None => {}
                Reaction::OneMoreReader => {
                    let reader = readers.clone();
                    threads.spawn_blocking(move || reader.run());
                }
                Reaction::Fail(problem) => {
                    fail(problem, &output, &told).await;
                    break;
                }
                Reaction::End(last, result) => {
                    output.finish(last, result).await;
                    break;
                }
            },
            Some(thread) = threads.join_next() => match thread {
                Ok(Ok(())) => {}
                Ok(Err(Error::Problem(problem))) => {
                    fail(problem, &output, &told).await;
                    break;
                }
                Ok(Err(Error::Gone)) | Err(_) => break,
            },
            () = output.gone() => break,
        }
    }
    readers.close();
}

/// What a packet of the receiver leads to.
enum Reaction {
    None,
    OneMoreReader,
    /// The receiver breaks the rules.
    Fail(Problem),
    /// The call is over, with these last bytes and this result.
    End(Bytes, Result<(), Status>),
}

fn react(packet: Result<Option<Packet>, Status>, readers: &Readers) -> Reaction {
    let failed = |status| Reaction::End(Bytes::new(), Err(status));
    match packet {
        Ok(Some(packet)) => match packet.kind() {
            Kind::Req => match readers.ask(packet.id) {
                Ok(true) => Reaction::OneMoreReader,
                Ok(false) => Reaction::None,
                Err(problem) => Reaction::Fail(problem),
            },
            Kind::Fin => Reaction::End(framed(Kind::Fin, Bytes::new()), Ok(())),
            Kind::Err => {
                let reason = String::from_utf8_lossy(&packet.data);
                failed(Status::aborted(format!("error from receiver: {reason}")))
            }
            Kind::Stat | Kind::Data => Reaction::None,
        },
        Ok(None) => failed(Status::cancelled("the receiver left before it had all it wanted")),
        Err(status) => failed(status),
    }
}

/// Ends the call, and tells both the engine and the caller why.
async fn fail(problem: Problem, output: &Output, told: &Told) {
    let last = framed(Kind::Err, problem.what.clone().into());
    let status = Status::failed_precondition(&problem.what);
    told.problems.add(problem);
    output.finish(last, Err(status)).await;
}

/// Sends one stat per file, then an empty one.
fn send_stats(
    readers: &Readers,
    directory: &Directory,
    selection: Selection,
    problems: &Problems,
) -> Result<(), Error> {
    let root = readers.root.path();
    let filter = Filter::new(root, selection).and_then(|filter| match &directory.only {
        Some(names) => filter.only(root, names),
        None => Ok(filter),
    });
    let filter = filter.map_err(|error| Error::Problem(of_filter(&error, root)))?;
    let mut walk = Walk::new(readers.root.clone(), filter).map_err(of_walk)?;
    let mut batch = Vec::with_capacity(2 * BATCH);
    let mut sent = Instant::now();
    while let Some(stats) = walk.step().map_err(of_walk)? {
        for stat in stats {
            let size = (stat.mode & mode::TYPE == 0).then(|| u64::try_from(stat.size).unwrap_or_default());
            let is_directory = stat.mode & mode::DIRECTORY != 0;
            if let Some(name) = [&stat.path, &stat.linkname].into_iter().find(|name| from_utf8(name).is_err()) {
                problems.add_odd_name(|| of_odd_name(name));
            }
            readers.table.lock().unwrap_or_else(PoisonError::into_inner).push(&stat.path, is_directory, size);
            frame(&Packet { stat: Some(stat), ..Packet::default() }, &mut batch);
        }
        if batch.len() >= BATCH || sent.elapsed() >= BATCH_TIME {
            if !batch.is_empty() {
                readers.output.send(std::mem::replace(&mut batch, Vec::with_capacity(2 * BATCH)).into())?;
            } else if readers.output.is_gone() {
                return Err(Error::Gone);
            }
            sent = Instant::now();
        }
    }
    frame(&Packet::default(), &mut batch);
    Ok(readers.output.send(batch.into())?)
}

fn framed(kind: Kind, data: Bytes) -> Bytes {
    let mut message = Vec::new();
    frame(&Packet { kind: kind.into(), data, ..Packet::default() }, &mut message);
    message.into()
}

fn of_walk(error: walk::Error) -> Error {
    Error::Problem(match error {
        walk::Error::Unreadable { .. } => Problem::new(error.to_string(), read::NEXT),
        walk::Error::Pattern(error) => of_pattern(&error.to_string()),
    })
}

fn of_filter(error: &filter::Error, root: &Path) -> Problem {
    match error {
        filter::Error::Pattern(error) => of_pattern(&error.to_string()),
        filter::Error::Links(error) => unreadable(root, error),
    }
}

fn of_pattern(what: &str) -> Problem {
    Problem::new(what, "Correct it in .dockerignore, or in the COPY that names it.")
}

/// Engines whose protobuf insists on UTF-8 break off without a word about the file.
fn of_odd_name(name: &[u8]) -> Problem {
    Problem::new(
        format!(
            "this engine takes no names that are not UTF-8, such as \"{}\" in the build context",
            name.escape_ascii()
        ),
        "Rename the file, or name it in .dockerignore.",
    )
}

fn unreadable(path: &Path, cause: &std::io::Error) -> Problem {
    Problem::new(format!("cannot read {}: {cause}", path.display()), read::NEXT)
}
