//! What comes of these contexts is what Docker's own client makes of them, on the same engine.

use super::{urls::Server, *};

on_every_engine!(an_archive_at_a_url);
on_every_engine!(@ named_28 Docker28 further_contexts);
on_every_engine!(@ named_containerd Containerd28 further_contexts an_image_in_a_directory);
on_every_engine!(@ named_26 Tls26 further_contexts);

/// Builds with both, without help from any cache, and compares.
#[track_caller]
fn same(engine: &Engine, registry: &Registry, args: &[&str], place: &str) {
    let (theirs, ours) = (registry.image("theirs:1"), registry.image("ours:1"));
    engine.docker(&[&["build", "--network", "host", "--no-cache", "-t", &theirs], args, &[place]].concat());
    let agent = Agent::start(engine);
    agent.client().build(Path::new(place), &[&["--no-cache", "-t", &ours], args].concat()).code(0);
    let difference = Image::of(engine, &theirs).differences(&Image::of(engine, &ours), "no such directory");
    assert!(difference.is_empty(), "ours differs from docker's: {difference:#?}");
}

fn an_archive_at_a_url(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let dockerfile = format!("FROM {}\nCOPY . /all\n", registry.image("base:1"));
    let context = rig::context(&[("d/Other", &dockerfile), ("file", "x"), ("no", "y"), (".dockerignore", "no\n")]);
    symlink("file", context.path().join("link")).unwrap();
    let files = rig::scratch();
    fs::write(files.path().join("c.tar.gz"), written(context.path(), "tar -cz .")).unwrap();
    same(&engine, &registry, &["-f", "d/Other"], &Server::start(files.path()).url("c.tar.gz"));
}

fn further_contexts(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    // That of 28 has a BuildKit that takes every URL for git.
    let with_url = kind == Kind::Tls26;
    let page = if with_url { "COPY --from=page / /page\n" } else { "" };
    let dockerfile = format!("FROM basis\nCOPY --from=data . /data\n{page}COPY . /all\n");
    let context = rig::context(&[("Dockerfile", &dockerfile)]);
    let data = rig::context(&[("a", "a"), ("d/b", "b"), ("d/c", "c"), (".dockerignore", "d/b\n")]);
    let server = Server::start(data.path());
    let values = [
        format!("data={}", data.path().display()),
        format!("page={}", server.url("a")),
        format!("basis=docker-image://{}", registry.image("base:1")),
    ];
    let args: Vec<_> = values.iter().flat_map(|value| ["--build-context", value]).collect();
    same(&engine, &registry, &args, context.path().to_str().unwrap());
}

fn an_image_in_a_directory(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let base = registry.image("base:1");
    engine.pull(&base);
    let layout = rig::scratch();
    fs::write(layout.path().join("all.tar"), engine.try_docker(&["save", &base]).stdout).unwrap();
    written(layout.path(), "tar -xf all.tar");
    let context = rig::context(&[("Dockerfile", "FROM basis\nCOPY Dockerfile /\n")]);
    let place = format!("basis=oci-layout://{}", layout.path().display());
    same(&engine, &registry, &["--build-context", &place], context.path().to_str().unwrap());
}
