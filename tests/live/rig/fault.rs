//! A registry that fails now and then: a proxy before a real one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Registry;

/// What goes wrong, how often, with which requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) method: &'static str,
    /// Part of the path.
    pub(crate) path: &'static str,
    pub(crate) times: usize,
    /// Status line and further headers, such as `429 Too Many Requests\r\nRetry-After: 1`. None: the connection breaks.
    pub(crate) answer: Option<&'static str>,
}

/// What happens once a registry has answered a request, and before the answer comes through.
struct Interlude {
    method: &'static str,
    /// Part of the path.
    path: String,
    then: Box<dyn FnOnce() + Send>,
    armed: Arc<AtomicBool>,
}

/// A door to a registry that has a fault. Its threads end with the process.
pub(crate) struct FaultyRegistry {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    struck: Arc<AtomicUsize>,
    armed: Arc<AtomicBool>,
    link: Arc<Link>,
}

/// How fast blobs come through, and how much of them did.
#[derive(Default)]
struct Link {
    /// Bytes a second; 0 is as fast as may be.
    rate: AtomicUsize,
    /// The same of what is sent.
    upload_rate: AtomicUsize,
    passed: AtomicUsize,
}

impl FaultyRegistry {
    pub(crate) fn before(registry: &Registry, fault: Fault) -> Self {
        Self::open(registry, fault, None)
    }

    /// A door without a fault. Once it is armed, something happens behind it right after the next request with this
    /// method and path.
    pub(crate) fn armed_later(
        registry: &Registry,
        method: &'static str,
        path: &str,
        then: impl FnOnce() + Send + 'static,
    ) -> Self {
        let none = Fault { method: "", path: "", times: 0, answer: None };
        Self::open(
            registry,
            none,
            Some(Interlude { method, path: path.to_owned(), then: Box::new(then), armed: Arc::default() }),
        )
    }

    /// A door behind a slow link: blobs come through at this rate, each on its own.
    pub(crate) fn slow(registry: &Registry, bytes_per_second: usize) -> Self {
        let none = Fault { method: "", path: "", times: 0, answer: None };
        let door = Self::open(registry, none, None);
        door.limit(bytes_per_second);
        door
    }

    /// A door behind which blobs arrive at this rate, each on its own.
    pub(crate) fn slow_uploads(registry: &Registry, bytes_per_second: usize) -> Self {
        let none = Fault { method: "", path: "", times: 0, answer: None };
        let door = Self::open(registry, none, None);
        door.link.upload_rate.store(bytes_per_second, Ordering::SeqCst);
        door
    }

    /// From now on.
    pub(crate) fn limit(&self, bytes_per_second: usize) {
        self.link.rate.store(bytes_per_second, Ordering::SeqCst);
    }

    /// The bytes of blobs that came through a slow door so far.
    pub(crate) fn passed(&self) -> usize {
        self.link.passed.load(Ordering::SeqCst)
    }

    /// A door that opens for everybody, and behind which nobody ever answers.
    pub(crate) fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let clients: Vec<_> = listener.incoming().collect();
            drop(clients);
        });
        Self { host, struck: Arc::default(), armed: Arc::default(), link: Arc::default() }
    }

    fn open(registry: &Registry, fault: Fault, interlude: Option<Interlude>) -> Self {
        let armed = interlude.as_ref().map(|it| Arc::clone(&it.armed)).unwrap_or_default();
        let interlude = Arc::new(Mutex::new(interlude));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let upstream = registry.host.clone();
        let struck = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&struck);
        let link = Arc::<Link>::default();
        let at = Arc::clone(&link);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, count, interlude) = (upstream.clone(), Arc::clone(&count), Arc::clone(&interlude));
                let link = Arc::clone(&at);
                // A peer that goes away is nobody's failure here.
                std::thread::spawn(move || drop(serve(client, &upstream, fault, &count, &interlude, &link)));
            }
        });
        Self { host, struck, armed, link }
    }

    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// How often the fault came about.
    pub(crate) fn struck(&self) -> usize {
        self.struck.load(Ordering::SeqCst)
    }
}

/// One request a connection: `Connection: close` is put into each.
fn serve(
    client: TcpStream,
    upstream: &str,
    fault: Fault,
    struck: &AtomicUsize,
    interlude: &Mutex<Option<Interlude>>,
    link: &Link,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    // Engines try TLS first, and plain HTTP only where the answer is HTTP.
    if reader.fill_buf()?.first() == Some(&0x16) {
        client.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n")?;
        client.shutdown(Shutdown::Write)?;
        return std::io::copy(&mut reader, &mut std::io::sink()).map(drop);
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&head);
    let mut first = text.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let hit = method == fault.method && path.contains(fault.path);
    if hit && struck.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < fault.times).then_some(n + 1)).is_ok() {
        if let Some(answer) = fault.answer {
            write!(client, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            client.shutdown(Shutdown::Write)?;
            // Unread bytes would reset the connection, and the answer with it.
            return std::io::copy(&mut reader, &mut std::io::sink()).map(drop);
        }
        return client.shutdown(Shutdown::Both);
    }
    let mut server = TcpStream::connect(upstream)?;
    let kept = text.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: String = kept.flat_map(|line| [line, "\r\n"]).collect();
    write!(server, "{head}Connection: close\r\n\r\n")?;
    let mut to_server = server.try_clone()?;
    let second = u32::try_from(link.upload_rate.load(Ordering::SeqCst)).unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = reader.read(&mut buffer) {
            if to_server.write_all(&buffer[..n]).is_err() {
                break;
            }
            if let Some(pause) = (Duration::from_secs(1) * u32::try_from(n).unwrap()).checked_div(second) {
                std::thread::sleep(pause);
            }
        }
    });
    let then = interlude
        .lock()
        .unwrap()
        .take_if(|it| it.armed.load(Ordering::SeqCst) && it.method == method && path.contains(&it.path));
    if let Some(Interlude { then, .. }) = then {
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        then();
        struck.fetch_add(1, Ordering::SeqCst);
        client.write_all(&answer)?;
    }
    if method == "GET" && path.contains("/blobs/") && link.rate.load(Ordering::SeqCst) > 0 {
        let mut buffer = vec![0; 4096];
        while let n @ 1.. = server.read(&mut buffer)? {
            client.write_all(&buffer[..n])?;
            link.passed.fetch_add(n, Ordering::SeqCst);
            // This is the link, and nobody's wait for something to happen.
            let second = u32::try_from(link.rate.load(Ordering::SeqCst)).unwrap();
            std::thread::sleep(Duration::from_secs(1) * u32::try_from(n).unwrap() / second);
        }
    }
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}
