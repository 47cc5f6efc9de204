//! Reads the files that were asked for, on threads of its own kind: as many as are busy, up to four.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::super::output::{BUFFER, Buffer, Gone, Output};
use super::super::packet::{DATA_HEADER_MAX, frame_data_header};
use super::super::problems::{Counters, Problem};
use super::super::root::Root;
use super::table::Table;

/// Enough to keep a disk busy with small files.
const READERS: usize = 4;
pub(super) const NEXT: &str = "Make it readable, or name it in .dockerignore.";

/// What all readers of one transfer share.
pub(super) struct Readers {
    pub(super) root: Arc<Root>,
    pub(super) table: Mutex<Table>,
    pub(super) output: Output,
    pub(super) counters: Arc<Counters>,
    queue: Mutex<Queue>,
    asked: Condvar,
}

#[derive(Default)]
struct Queue {
    ids: VecDeque<u32>,
    closed: bool,
    running: usize,
    idle: usize,
}

/// Why a file was not sent whole.
#[derive(Debug)]
pub(super) enum Error {
    Gone,
    Problem(Problem),
}

impl From<Gone> for Error {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl Readers {
    pub(super) fn new(root: Arc<Root>, output: Output, counters: Arc<Counters>) -> Self {
        Self { root, table: Mutex::default(), output, counters, queue: Mutex::default(), asked: Condvar::new() }
    }

    /// Adds a request. True where one more reader should be [`run`](Readers::run).
    ///
    /// # Errors
    /// The engine asks for what it cannot have.
    pub(super) fn ask(&self, id: u32) -> Result<bool, Problem> {
        let asked = self.table.lock().unwrap_or_else(PoisonError::into_inner).ask(id);
        asked.map_err(|why| Problem::new(format!("the engine asked for file {id}, {why}"), ""))?;
        let mut queue = self.lock();
        queue.ids.push_back(id);
        if queue.idle > 0 {
            self.asked.notify_one();
            return Ok(false);
        }
        let more = queue.running < READERS;
        queue.running += usize::from(more);
        Ok(more)
    }

    /// Lets all readers end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.asked.notify_all();
    }

    /// Serves requests until [`Readers::close`], or until the receiver is gone.
    pub(super) fn run(&self) -> Result<(), Error> {
        let mut reader = Reader { shared: self, buffer: self.output.buffer(), header: Vec::with_capacity(32) };
        while let Some(id) = self.next(&mut reader)? {
            let sent = self.table.lock().unwrap_or_else(PoisonError::into_inner).get(id);
            let Some((path, size)) = sent else { continue };
            reader.send_file(id, &path, size)?;
        }
        Ok(())
    }

    fn next(&self, reader: &mut Reader<'_>) -> Result<Option<u32>, Gone> {
        let mut queue = self.lock();
        if queue.ids.is_empty() && !reader.buffer.is_empty() {
            // Nobody waits for the rest of a full buffer longer than for the next request.
            drop(queue);
            reader.flush()?;
            queue = self.lock();
        }
        loop {
            if queue.closed {
                return Ok(None);
            }
            if let Some(id) = queue.ids.pop_front() {
                return Ok(Some(id));
            }
            queue.idle += 1;
            queue = self.asked.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's state.
struct Reader<'a> {
    shared: &'a Readers,
    buffer: Buffer,
    header: Vec<u8>,
}

impl Reader<'_> {
    fn send_file(&mut self, id: u32, path: &[u8], size: u64) -> Result<(), Error> {
        let place = self.shared.root.on_disk(path);
        let failed = |what: String| Error::Problem(Problem::new(what, NEXT));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let sent = match self.shared.root.open_at(path, flags) {
            Ok(file) => self.send_content(id, &mut File::from(file), size).map_err(|error| match error {
                Unsent::Gone => Error::Gone,
                Unsent::Unreadable(cause) => failed(format!("cannot read {}: {cause}", place.display())),
                Unsent::Shrunk(read) => failed(format!(
                    "{} changed while it was sent: it had {size} bytes, and now has {read}",
                    place.display()
                )),
            })?,
            // A socket, which goes as an empty file.
            Err(Errno::NXIO) => 0,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(failed(format!("{} vanished while the directory was sent", place.display())));
            }
            Err(errno) => return Err(failed(format!("cannot read {}: {}", place.display(), io::Error::from(errno)))),
        };
        self.write_header(id, 0)?;
        self.shared.counters.add(sent);
        Ok(())
    }

    /// Sends as much as was announced. What has grown since, like a log, goes as it was; what has shrunk cannot.
    fn send_content(&mut self, id: u32, file: &mut File, size: u64) -> Result<u64, Unsent> {
        if size == 0 {
            return self.send_unannounced(id, file);
        }
        let mut left = size;
        while left > 0 {
            let whole = DATA_HEADER_MAX.saturating_add(usize::try_from(left).unwrap_or(BUFFER));
            if self.buffer.room() < whole.min(BUFFER) {
                self.flush()?;
            }
            let length = (self.buffer.room() - DATA_HEADER_MAX).min(whole - DATA_HEADER_MAX);
            self.header.clear();
            frame_data_header(id, length, &mut self.header);
            self.buffer.extend(&self.header);
            let read = fill(file, self.buffer.space(length))?;
            if read < length {
                return Err(Unsent::Shrunk(size - left + read as u64));
            }
            self.buffer.advance(length);
            left -= length as u64;
        }
        Ok(size)
    }

    /// A size of 0 is no promise on file systems that make files up as they are read.
    fn send_unannounced(&mut self, id: u32, file: &mut File) -> Result<u64, Unsent> {
        let mut sent = 0;
        let mut content = Vec::new();
        loop {
            content.clear();
            let limit = BUFFER - DATA_HEADER_MAX;
            let read = file.by_ref().take(limit as u64).read_to_end(&mut content).map_err(Unsent::Unreadable)?;
            if read == 0 {
                return Ok(sent);
            }
            if self.buffer.room() < DATA_HEADER_MAX + read {
                self.flush()?;
            }
            self.header.clear();
            frame_data_header(id, read, &mut self.header);
            self.buffer.extend(&self.header);
            self.buffer.extend(&content);
            sent += read as u64;
        }
    }

    fn write_header(&mut self, id: u32, length: usize) -> Result<(), Gone> {
        if self.buffer.room() < DATA_HEADER_MAX {
            self.flush()?;
        }
        self.header.clear();
        frame_data_header(id, length, &mut self.header);
        self.buffer.extend(&self.header);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Gone> {
        let full = std::mem::replace(&mut self.buffer, self.shared.output.buffer());
        self.shared.output.send(full.into_bytes())
    }
}

/// Why content is missing.
enum Unsent {
    Gone,
    Unreadable(io::Error),
    /// How many bytes there were.
    Shrunk(u64),
}

impl From<Gone> for Unsent {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// Reads until `space` is full or the file ends.
fn fill(file: &mut File, space: &mut [u8]) -> Result<usize, Unsent> {
    let mut length = 0;
    while length < space.len() {
        match file.read(&mut space[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Unsent::Unreadable(error)),
        }
    }
    Ok(length)
}
