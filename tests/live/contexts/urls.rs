//! A context that the engine fetches from a server.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
};

use super::*;

on_every_engine!(
    an_archive_is_fetched_from_a_server,
    the_dockerfile_of_a_fetched_context_may_be_the_clients,
    what_cannot_be_fetched_is_told_so,
);

/// Serves the files of a directory, for as long as the test runs.
pub(super) struct Server(String);

impl Server {
    pub(super) fn start(directory: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let directory = directory.to_owned();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // An engine that hangs up is not our concern.
                drop(answer(connection, &directory));
            }
        });
        Self(format!("http://{address}"))
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

fn answer(mut connection: TcpStream, directory: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let (status, content) = match fs::read(directory.join(path)) {
        Ok(content) => ("200 OK", content),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
    connection.write_all(&content)
}

fn an_archive_is_fetched_from_a_server(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let (agent, base) = (Agent::start(&engine), registry.image("base:1"));
    let mark = rig::unique();
    let context = rig::context(&[
        ("Dockerfile", &format!("FROM {base}\nCOPY a/file /file\n")),
        ("sub/Other", &format!("FROM {base}\nCOPY a/file /other\n")),
        ("a/file", &mark),
    ]);
    let files = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN echo {mark} >/alone\n"))]);
    fs::write(files.path().join("c.tar.gz"), written(context.path(), "tar -cz .")).unwrap();
    let server = Server::start(files.path());
    let tag = format!("ctx-{}:1", rig::unique());
    let archive = server.url("c.tar.gz");
    let build =
        |url: &str, args: &[&str]| agent.client().build(Path::new(url), &[&["-t", &tag], args].concat()).code(0);
    build(&archive, &[]);
    assert!(Image::of(&engine, &tag).holds("file", &mark));
    build(&archive, &[]).assert_step("COPY a/file", "CACHED");
    build(&archive, &["-f", "sub/Other"]);
    assert!(Image::of(&engine, &tag).holds("other", &mark));
    build(&server.url("Dockerfile"), &[]);
    assert!(Image::of(&engine, &tag).holds("alone", &format!("{mark}\n")));
    // What is there now counts, and not what was there.
    fs::write(context.path().join("a/file"), "new").unwrap();
    fs::write(files.path().join("c.tar.gz"), written(context.path(), "tar -cz .")).unwrap();
    build(&archive, &[]);
    assert!(Image::of(&engine, &tag).holds("file", "new"));
}

fn the_dockerfile_of_a_fetched_context_may_be_the_clients(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let (agent, base) = (Agent::start(&engine), registry.image("base:1"));
    let mark = rig::unique();
    let context = rig::context(&[("Dockerfile", "FROM no.such.registry.example/x\n"), ("file", &mark)]);
    let own = rig::context(&[("Own", &format!("FROM {base}\nCOPY file /own\n"))]);
    let files = rig::scratch();
    fs::write(files.path().join("c.tar"), written(context.path(), "tar -c .")).unwrap();
    let server = Server::start(files.path());
    let (tag, url) = (format!("ctx-{}:1", rig::unique()), server.url("c.tar"));
    let path = own.path().join("Own");
    agent.client().build(Path::new(&url), &["-t", &tag, "-f", path.to_str().unwrap()]).code(0);
    assert!(Image::of(&engine, &tag).holds("own", &mark));
    let piped = agent.client().with_input(format!("FROM {base}\nCOPY file /piped\n"));
    piped.build(Path::new(&url), &["-t", &tag, "-f", "-"]).code(0);
    assert!(Image::of(&engine, &tag).holds("piped", &mark));
}

fn what_cannot_be_fetched_is_told_so(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let page = "<!DOCTYPE html>\n<html><body>Sign in</body></html>\n";
    let files = rig::context(&[("repo", page), ("page", page.trim_start_matches("<!DOCTYPE html>\n"))]);
    let server = Server::start(files.path());
    let said = |name: &str, words: &[&str]| {
        let outcome = agent.client().build(Path::new(&server.url(name)), &[]).code(1);
        eprintln!("{}", outcome.stderr);
        words.iter().fold(outcome, |outcome, word| outcome.says(word));
    };
    said("nothing.tar", &["the server answered 404", "nothing.tar"]);
    said("repo", &["is a web page", ".git"]);
    said("page", &["is a web page", ".git"]);
    let url = server.url("nothing.tar").replace("http://", "http://me:canary@");
    let secret = agent.client().build(Path::new(&url), &[]).code(1).says("the server answered 404");
    assert!(!secret.stderr.contains("canary") && !agent.log().contains("canary"), "{}", secret.stderr);
    fs::write(files.path().join("broken.tar.gz"), [&b"\x1f\x8b\x08\0"[..], &[7; 3000]].concat()).unwrap();
    said("broken.tar.gz", &["no whole archive"]);
    let outcome = agent.client().build(Path::new("http://127.0.0.1:9/c.tar"), &[]);
    eprintln!("{:?} {}", outcome.status, outcome.stderr);
    outcome.code(1).says("127.0.0.1:9");
}
