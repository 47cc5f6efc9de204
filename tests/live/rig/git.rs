//! Git repositories, and what serves them on loopback: `git http-backend` behind a server of our own, `git daemon`, sshd.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// Runs git in a directory, without anybody's own configuration; what it printed.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"])
        .args(["-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(dir)
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("HOME", "/dev/null")])
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A server with repositories below `group/`. Ends with the test's process.
pub(crate) struct GitServer {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    root: TempDir,
}

impl GitServer {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// One that wants `Authorization: VALUE`.
    pub(crate) fn start_with(authorization: Option<String>) -> Self {
        let root = super::scratch();
        std::fs::create_dir(root.path().join("group")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let path = root.path().to_owned();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (path, authorization) = (path.clone(), authorization.clone());
                std::thread::spawn(move || answer(connection, &path, authorization.as_deref()));
            }
        });
        Self { host, root }
    }

    /// A new repository; what it holds is to be made with [`Self::commit`].
    pub(crate) fn repository(&self, name: &str) -> Repository {
        let bare = self.root.path().join(format!("group/{name}.git"));
        git(self.root.path(), &["init", "--quiet", "--bare", bare.to_str().unwrap()]);
        let work = super::scratch();
        git(work.path(), &["clone", "--quiet", bare.to_str().unwrap(), "."]);
        Repository { work, url: format!("http://{}/group/{name}.git", self.host), bare }
    }
}

/// A repository that is served, and a place to work on it.
pub(crate) struct Repository {
    pub(crate) work: TempDir,
    pub(crate) url: String,
    pub(crate) bare: PathBuf,
}

impl Repository {
    /// Writes files, commits all that is there, and pushes HEAD to that ref. Returns the commit.
    pub(crate) fn commit(&self, files: &[(&str, &str)], to: &str) -> String {
        for (name, content) in files {
            let path = self.work.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "change"]);
        self.git(&["push", "--quiet", "origin", &format!("HEAD:{to}")]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git where it is worked on.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(self.work.path(), args)
    }
}

/// One request, and the connection's end.
fn answer(connection: TcpStream, root: &Path, authorization: Option<&str>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let body = body(&mut reader, &headers);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let answer = if !authorized(headers.get("authorization"), authorization) {
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
    } else if path.contains(".git") {
        let output = backend(root, &method, path, query, &headers, &body);
        let status = output.strip_prefix(b"Status: ").map_or("200 OK".to_owned(), |rest| {
            String::from_utf8_lossy(rest.split(|byte| *byte == b'\r').next().unwrap()).into_owned()
        });
        [format!("HTTP/1.1 {status}\r\nConnection: close\r\n").as_bytes(), &output].concat()
    } else {
        let page = "<!DOCTYPE html>\n<html><body>Sign in</body></html>\n";
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
            page.len()
        )
        .into_bytes()
    };
    let mut connection = connection;
    // Whoever asked may have left.
    drop(connection.write_all(&answer));
}

/// The name of a scheme is the same in large and small letters.
fn authorized(shown: Option<&String>, wanted: Option<&str>) -> bool {
    let Some((scheme, value)) = wanted.and_then(|wanted| wanted.split_once(' ')) else { return true };
    let shown = shown.and_then(|shown| shown.split_once(' '));
    shown.is_some_and(|shown| shown.0.eq_ignore_ascii_case(scheme) && shown.1 == value)
}

fn body(reader: &mut BufReader<TcpStream>, headers: &HashMap<String, String>) -> Vec<u8> {
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).unwrap();
            if size == 0 {
                return body;
            }
            body.extend(&chunk[..size]);
        }
    }
    body.resize(headers.get("content-length").map_or(0, |length| length.parse().unwrap()), 0);
    reader.read_exact(&mut body).unwrap();
    body
}

/// A CGI program: <https://git-scm.com/docs/git-http-backend>.
fn backend(
    root: &Path,
    method: &str,
    path: &str,
    query: &str,
    headers: &HashMap<String, String>,
    body: &[u8],
) -> Vec<u8> {
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .envs([("GIT_HTTP_EXPORT_ALL", "1"), ("REQUEST_METHOD", method), ("PATH_INFO", path), ("QUERY_STRING", query)])
        .env("GIT_PROJECT_ROOT", root)
        .envs([("CONTENT_TYPE", header("content-type")), ("GIT_PROTOCOL", header("git-protocol"))])
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = body.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&body)));
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    output
}

/// An SSH server that lets the holder of one key in, as the user of these tests, and an SSH agent that holds that key.
pub(crate) struct SshServer {
    pub(crate) port: u16,
    /// The socket of the SSH agent.
    pub(crate) agent: PathBuf,
    /// The private key's file.
    pub(crate) key: PathBuf,
    processes: Vec<Child>,
    _dir: TempDir,
}

impl SshServer {
    /// The key is of that type, as `ssh-keygen` calls it.
    pub(crate) fn start(kind: &str) -> Self {
        let dir = super::scratch();
        let path = |name: &str| dir.path().join(name);
        let key = path("key");
        for (kind, file) in [(kind, &key), ("ed25519", &path("host"))] {
            ssh_keygen(&["-q", "-N", "", "-t", kind], file);
        }
        std::fs::copy(path("key.pub"), path("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {host}\nAuthorizedKeysFile {keys}\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n",
            host = path("host").display(),
            keys = path("authorized").display()
        );
        std::fs::write(path("config"), config).unwrap();
        // Where Debian's sshd drops its rights to.
        std::fs::create_dir_all("/run/sshd").unwrap();
        let log = std::fs::File::create(path("log")).unwrap();
        let sshd = Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f"]).arg(path("config")).stderr(log).spawn();
        let agent = path("agent.sock");
        let holder = Command::new("ssh-agent").args(["-D", "-a"]).arg(&agent).stdout(Stdio::null()).spawn();
        let processes = vec![sshd.unwrap(), holder.unwrap()];
        let within = std::time::Duration::from_secs(10);
        super::eventually("the SSH agent listens", within, || UnixStream::connect(&agent).ok());
        super::eventually("sshd listens", within, || TcpStream::connect(("127.0.0.1", port)).ok());
        run(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &agent));
        Self { port, agent, key, processes, _dir: dir }
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        for process in &mut self.processes {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// Runs `ssh-keygen` on the file of a private key.
pub(crate) fn ssh_keygen(args: &[&str], key: &Path) {
    run(Command::new("ssh-keygen").args(args).arg("-f").arg(key));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
