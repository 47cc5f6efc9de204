//! `moby.filesync.v1.FileSync`: sends directories to the engine, by fsutil's protocol.
//!
//! One blocking thread walks, others read what is asked for; all feed one bounded [`output`]. So memory is bounded by
//! its buffers, and by the table of paths. An unreadable file fails the transfer, is told to the engine, and is kept for
//! the caller: fsutil's own sender puts an empty file in its place.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use tokio::task::spawn_blocking;
use tonic::body::Body;
use tonic::{Status, Streaming};
use tonic_prost::ProstDecoder;

use super::filter::{self, Filter, Selection};
use super::host::Attachables;
use super::packet::{Kind, Packet, frame};
use super::problems::Problem;
use super::walk::{self, Walk, mode};

mod ask;
mod output;
mod read;
mod table;

use ask::Ask;
use output::{Gone, Output};
use read::{Error, Readers};

/// Stats are sent together, up to this many bytes or this long after the last ones.
const BATCH: usize = 32 * 1024;
const BATCH_TIME: Duration = Duration::from_millis(5);

/// Answers one `DiffCopy` call.
pub(super) fn diff_copy<B>(request: Request<B>, attachables: &Arc<Attachables>) -> Response<Body>
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let ask = match Ask::read(request.headers()) {
        Ok(ask) => ask,
        Err(reason) => return Status::invalid_argument(reason).into_http(),
    };
    let Some(directory) = attachables.dirs.get(&ask.directory) else {
        return Status::not_found(format!("no access allowed to dir \"{}\"", ask.directory)).into_http();
    };
    let packets = Streaming::new_request(ProstDecoder::<Packet>::default(), request.into_body(), None, Some(usize::MAX));
    let (output, pieces) = output::channel();
    tokio::spawn(transfer(directory.clone(), ask.selection, packets, output, attachables.clone()));
    let mut response = Response::new(Body::new(pieces));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Owns one transfer from its first stat to its FIN.
async fn transfer(
    directory: std::path::PathBuf,
    selection: Selection,
    mut packets: Streaming<Packet>,
    output: Output,
    attachables: Arc<Attachables>,
) {
    let counters = attachables.counters.clone();
    // Everything below the directory is named as the file system names it, so that no link on the way matters later.
    let resolved = spawn_blocking(move || directory.canonicalize().map_err(|cause| unreadable(&directory, &cause))).await;
    let root = match resolved {
        Ok(Ok(root)) => root,
        Ok(Err(problem)) => return report_async(problem, &output, &attachables).await,
        Err(_) => return,
    };
    let readers = Arc::new(Readers::new(root, output.clone(), counters));
    let walker = (readers.clone(), attachables.clone());
    spawn_blocking(move || {
        let (readers, attachables) = walker;
        conclude(send_stats(&readers, selection), &readers, &attachables);
    });
    loop {
        let packet = tokio::select! {
            packet = packets.message() => packet,
            () = output.gone() => break,
        };
        let end = match packet {
            Ok(Some(packet)) => match packet.kind() {
                Kind::Req => {
                    if readers.ask(packet.id) {
                        let reader = (readers.clone(), attachables.clone());
                        spawn_blocking(move || conclude(reader.0.run(), &reader.0, &reader.1));
                    }
                    continue;
                }
                Kind::Fin => (framed(Kind::Fin, Bytes::new()), Ok(())),
                Kind::Err => {
                    let reason = String::from_utf8_lossy(&packet.data).into_owned();
                    (Bytes::new(), Err(Status::aborted(format!("error from receiver: {reason}"))))
                }
                Kind::Stat | Kind::Data => continue,
            },
            Ok(None) => (Bytes::new(), Err(Status::cancelled("the receiver left before it had all it wanted"))),
            Err(status) => (Bytes::new(), Err(status)),
        };
        output.finish_async(end.0, end.1).await;
        break;
    }
    readers.close();
}

/// Sends one stat per file, then an empty one.
fn send_stats(readers: &Readers, selection: Selection) -> Result<(), Error> {
    let filter = Filter::new(&readers.root, selection).map_err(|error| Error::Problem(of_filter(&error, &readers.root)))?;
    let mut walk = Walk::new(readers.root.clone(), filter).map_err(of_walk)?;
    let mut batch = Vec::with_capacity(2 * BATCH);
    let mut sent = Instant::now();
    while let Some(stats) = walk.step().map_err(of_walk)? {
        for stat in stats {
            let size = (stat.mode & mode::TYPE == 0).then(|| u64::try_from(stat.size).unwrap_or_default());
            let is_directory = stat.mode & mode::DIRECTORY != 0;
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

/// What a thread's end means for the whole transfer.
fn conclude(result: Result<(), Error>, readers: &Readers, attachables: &Attachables) {
    if let Err(Error::Problem(problem)) = result {
        attachables.problems.add(problem.clone());
        let (piece, status) = farewell(&problem);
        readers.output.finish(piece, Err(status));
    }
}

async fn report_async(problem: Problem, output: &Output, attachables: &Attachables) {
    let (piece, status) = farewell(&problem);
    attachables.problems.add(problem);
    output.finish_async(piece, Err(status)).await;
}

fn farewell(problem: &Problem) -> (Bytes, Status) {
    (framed(Kind::Err, problem.what.clone().into()), Status::failed_precondition(&problem.what))
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

fn unreadable(path: &Path, cause: &std::io::Error) -> Problem {
    Problem::new(format!("cannot read {}: {cause}", path.display()), read::NEXT)
}
