//! `moby.filesync.v1.FileSend` where the export is a tree of files: fsutil's protocol, of which this is the receiver.
//!
//! The engine tells of every file, is asked for the content of the regular ones, and sends that in pieces, a few files at
//! a time. One blocking thread makes all of it; a bounded queue before it holds the engine back where the disk is slow.
//! The paths of the files that still wait for their content are all that grows with the tree.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tonic::body::Body;
use tonic::{Status, Streaming};
use tonic_prost::ProstDecoder;

use super::host::Attachables;
use super::output::{self, Gone, Output};
use super::packet::{Kind, Packet, Stat, frame};
use super::problems::Problem;

mod tree;

use tree::{Target, Tree};

/// The largest packet: fsutil sends content in pieces of 32 KiB, and a stat may hold attributes.
const PACKET_MAX: usize = 1 << 20;
/// Packets that wait for the disk.
const QUEUED: usize = 64;
/// Files that are asked for, and open, at a time. More would hide a slower line, and come near the usual limit of open
/// files; and the engine must never be kept from sending because nobody reads what it is asked.
const ASKED: usize = 256;
/// Bytes of stats that may wait, for their content or for the end: some millions of files.
const HELD_MAX: usize = 512 << 20;

/// Answers one `DiffCopy` call.
pub(super) fn diff_copy<B>(request: Request<B>, place: PathBuf, attachables: &Arc<Attachables>) -> Response<Body>
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let packets =
        Streaming::new_request(ProstDecoder::<Packet>::default(), request.into_body(), None, Some(PACKET_MAX));
    let (output, pieces) = output::channel();
    tokio::spawn(transfer(place, packets, output, attachables.clone()));
    let mut response = Response::new(Body::new(pieces));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Owns one transfer, from its first stat to its end.
async fn transfer(place: PathBuf, mut packets: Streaming<Packet>, output: Output, attachables: Arc<Attachables>) {
    let (queue, queued) = mpsc::channel(QUEUED);
    let writing = output.clone();
    let mut writer = spawn_blocking(move || Receiver::new(place, writing)?.run(queued));
    let feed = async move {
        while let Ok(Some(packet)) = packets.message().await {
            if queue.send(packet).await.is_err() {
                return;
            }
        }
    };
    let written = tokio::select! {
        written = &mut writer => written,
        () = feed => writer.await,
    };
    match written {
        Ok(Ok(())) => output.finish(Bytes::new(), Ok(())).await,
        Ok(Err(Error::Problem(problem))) => {
            let mut last = Vec::new();
            let data = problem.what.clone().into();
            frame(&Packet { kind: Kind::Err.into(), data, ..Packet::default() }, &mut last);
            let status = Status::failed_precondition(&problem.what);
            attachables.problems.add(problem);
            output.finish(last.into(), Err(status)).await;
        }
        Ok(Err(Error::Engine(why))) => output.finish(Bytes::new(), Err(Status::aborted(why))).await,
        Ok(Err(Error::Gone)) | Err(_) => {}
    }
}

/// Why files are missing.
enum Error {
    Problem(Problem),
    /// The engine's doing, which it knows.
    Engine(String),
    Gone,
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Gone> for Error {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// One transfer's state.
struct Receiver {
    tree: Tree,
    output: Output,
    /// How many stats came so far: the next one's id.
    stats: u32,
    /// Files whose content is not asked for yet.
    waiting: VecDeque<(u32, Stat)>,
    /// Bytes of the stats that wait.
    held: usize,
    asked: HashMap<u32, Target>,
    /// Whether all stats came.
    walked: bool,
    /// Whether all of it is made, and the engine was told.
    done: bool,
}

impl Receiver {
    fn new(place: PathBuf, output: Output) -> Result<Self, Error> {
        Ok(Self {
            tree: Tree::open(place)?,
            output,
            stats: 0,
            waiting: VecDeque::new(),
            held: 0,
            asked: HashMap::new(),
            walked: false,
            done: false,
        })
    }

    /// Makes what comes, to the end.
    fn run(mut self, mut packets: mpsc::Receiver<Packet>) -> Result<(), Error> {
        while let Some(packet) = packets.blocking_recv() {
            match packet.kind() {
                Kind::Stat => match packet.stat {
                    Some(stat) => self.stat(stat)?,
                    None => self.walked = true,
                },
                Kind::Data => self.data(packet.id, &packet.data)?,
                Kind::Fin if self.done => return Ok(()),
                Kind::Err => {
                    return Err(Error::Engine(format!("error from sender: {}", String::from_utf8_lossy(&packet.data))));
                }
                Kind::Fin | Kind::Req => return Err(broken("it ended before it began")),
            }
            self.ask()?;
            if self.walked && self.asked.is_empty() && !self.done {
                self.tree.finish()?;
                self.tell(&[Packet { kind: Kind::Fin.into(), ..Packet::default() }])?;
                self.done = true;
            }
        }
        // An engine that has heard that all is done may leave without a word.
        if self.done { Ok(()) } else { Err(Error::Gone) }
    }

    fn stat(&mut self, stat: Stat) -> Result<(), Error> {
        if self.walked {
            return Err(broken("a file came after the last one"));
        }
        self.held += stat.encoded_len();
        if self.held > HELD_MAX {
            return Err(broken("there are too many files"));
        }
        if let Some(file) = self.tree.make(stat)? {
            self.waiting.push_back((self.stats, file));
        }
        self.stats = self.stats.checked_add(1).ok_or_else(|| broken("there are too many files"))?;
        Ok(())
    }

    fn data(&mut self, id: u32, data: &[u8]) -> Result<(), Error> {
        let Some(target) = self.asked.get_mut(&id) else {
            return Err(broken("content came that was not asked for"));
        };
        if !data.is_empty() {
            return Ok(self.tree.write(target, data)?);
        }
        if let Some(target) = self.asked.remove(&id) {
            self.tree.close(target)?;
        }
        Ok(())
    }

    /// Asks for the content of what waits.
    fn ask(&mut self) -> Result<(), Error> {
        let mut requests = Vec::new();
        while self.asked.len() < ASKED
            && let Some((id, stat)) = self.waiting.pop_front()
        {
            self.held = self.held.saturating_sub(stat.encoded_len());
            self.asked.insert(id, self.tree.begin(stat)?);
            requests.push(Packet { kind: Kind::Req.into(), id, ..Packet::default() });
        }
        self.tell(&requests)
    }

    fn tell(&self, packets: &[Packet]) -> Result<(), Error> {
        if packets.is_empty() {
            return Ok(());
        }
        let mut piece = Vec::new();
        for packet in packets {
            frame(packet, &mut piece);
        }
        Ok(self.output.send(piece.into())?)
    }
}

fn broken(why: &str) -> Error {
    Problem::new(format!("the engine does not keep to the protocol of exports: {why}"), "").into()
}
