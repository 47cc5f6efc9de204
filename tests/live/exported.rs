//! Results that go into a file of the client.

use std::{
    fs::File,
    io::Read as _,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
};

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(an_archive_has_its_name_once_it_is_whole, nothing_is_made_where_the_cache_alone_is_wanted);
on_every_engine!(@ containerd Containerd28 an_image_goes_into_an_archive);
on_every_engine!(@ graphdriver Docker28 what_the_engine_cannot_export_is_refused);
on_one_engine!(Docker28: standard_output_is_written_on_whatever_it_is);

fn names(archive: &std::path::Path) -> String {
    let listed = Command::new("tar").arg("-tf").arg(archive).output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8(listed.stdout).unwrap()
}

fn an_archive_has_its_name_once_it_is_whole(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let (base, salt) = (registry.image("base:1"), rig::unique());
    let context = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN echo {salt} >/made\n"))]);
    let dir = rig::scratch();
    let archive = dir.path().join("app.tar");
    let output = format!("type=tar,dest={}", archive.display());
    agent.client().build(context.path(), &["-o", &output, "--progress=plain"]).code(0);
    assert!(names(&archive).lines().any(|name| name.trim_start_matches("./") == "made"), "{}", names(&archive));

    std::fs::write(&archive, "before").unwrap();
    std::fs::write(context.path().join("Dockerfile"), format!("FROM {base}\nRUN echo {salt}; false\n")).unwrap();
    agent.client().build(context.path(), &["-o", &output]).code(1);
    assert_eq!(std::fs::read_to_string(&archive).unwrap(), "before", "a part was taken for the whole");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something is left behind");
}

fn nothing_is_made_where_the_cache_alone_is_wanted(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let (base, salt) = (registry.image("base:1"), rig::unique());
    let context = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN echo {salt} >/made\n"))]);
    let tag = format!("nobody.example/{salt}:1");
    let built = agent.client().build(context.path(), &["-o", "type=cacheonly", "-t", &tag]).code(0);
    built.assert_step("RUN echo", "DONE");
    assert!(!engine.docker(&["image", "ls", "-q", &tag]).contains(':'), "an image was made");
    assert_eq!(engine.docker(&["image", "ls", "-q", &tag]).trim(), "");
}

fn an_image_goes_into_an_archive(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[(
        "Dockerfile",
        &format!("FROM {}\nRUN echo {} >/made\n", registry.image("base:1"), rig::unique()),
    )]);
    let dir = rig::scratch();
    for (kind, file) in [("oci", "index.json"), ("docker", "manifest.json")] {
        let archive = dir.path().join(kind);
        let output = format!("type={kind},dest={}", archive.display());
        agent.client().build(context.path(), &["-o", &output, "-t", "nobody.example/app:1"]).code(0);
        assert!(names(&archive).lines().any(|name| name == file), "{}", names(&archive));
    }
    let tag = registry.image("app:zstd");
    let output = format!("type=image,name={tag},push=true,compression=zstd,force-compression=true,oci-mediatypes=true");
    agent.client().build(context.path(), &["-o", &output]).code(0);
    for layer in registry.manifest("app", "zstd").json["layers"].as_array().unwrap() {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    }
}

fn what_the_engine_cannot_export_is_refused(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\n")]);
    agent.client().build(context.path(), &["-o", "type=oci,dest=x.tar"]).code(2).says("-o type=oci");
    agent.client().build(context.path(), &["-o", "type=image,compression=zstd"]).code(2).says("-o compression");
    agent.client().build(context.path(), &["-o", "type=image,store=false"]).code(2).says("'store' is not known here");
    agent.client().build(context.path(), &["-o", "type=tar,dest=x.tar", "--push", "-t", "r.example/a:1"]).code(2);
}

fn standard_output_is_written_on_whatever_it_is(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let built = |out: Stdio| {
        let mut client = agent.client().command(&["build", "--iidfile=/dev/stdout", context.path().to_str().unwrap()]);
        assert!(client.stdin(Stdio::null()).stdout(out).stderr(Stdio::null()).status().unwrap().success());
    };
    let log = context.path().join("log");
    std::fs::write(&log, "before\n").unwrap();
    built(File::options().append(true).open(&log).unwrap().into());
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.starts_with("before\nsha256:"), "the log lost what was in it: {text}");
    let (mut reader, writer) = UnixStream::pair().unwrap();
    built(OwnedFd::from(writer).into());
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("sha256:"), "{text}");
}
