//! `--build-context`: further contexts by name.

use std::process::Output;

use super::{urls::Server, *};

on_every_engine!(@ docker_28 Docker28
    further_contexts_are_there_by_their_names an_image_in_a_directory_is_refused
    a_context_that_changed_is_never_taken_for_the_old_one a_context_that_is_not_there_is_told_so);
on_every_engine!(@ containerd_store Containerd28
    further_contexts_are_there_by_their_names an_image_in_a_directory_is_built_upon
    a_context_that_changed_is_never_taken_for_the_old_one);
on_every_engine!(@ docker_26_over_tls Tls26
    further_contexts_are_there_by_their_names a_password_in_a_url_is_not_shown);
on_every_engine!(@ docker_20_10 Docker20 an_engine_without_further_contexts_says_so);

fn further_contexts_are_there_by_their_names(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let (agent, base) = (Agent::start(&engine), registry.image("base:1"));
    let mark = rig::unique();
    let dockerfile = "FROM basis\nCOPY --from=data . /data\nCOPY --from=context file /other\nCOPY file /main\n\
                      RUN --mount=from=data,target=/mnt cp /mnt/file /mounted\n";
    let context = rig::context(&[("Dockerfile", dockerfile), ("file", "main")]);
    let data = rig::context(&[("file", &mark), ("hidden", "x"), (".dockerignore", "hidden\n")]);
    let other = rig::context(&[("file", "other")]);
    let tag = format!("ctx-{}:1", rig::unique());
    let of = |name: &str, dir: &tempfile::TempDir| format!("{name}={}", dir.path().display());
    let (data, other, basis) = (of("data", &data), of("context", &other), format!("basis=docker-image://{base}"));
    let args = ["-t", &tag, "--build-context", &data, "--build-context", &other, "--build-context", &basis];
    agent.client().build(context.path(), &args).code(0);
    let image = Image::of(&engine, &tag);
    assert!(image.holds("data/file", &mark) && image.holds("mounted", &mark));
    assert!(image.holds("main", "main") && image.holds("other", "other"));
    assert_eq!(image.file("data/hidden"), None, "each directory has its own .dockerignore");
    let again = agent.client().build(context.path(), &args).code(0);
    again.assert_all_cached();
}

fn an_image_in_a_directory_is_built_upon(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let (agent, base) = (Agent::start(&engine), registry.image("base:1"));
    let mark = rig::unique();
    // Of this engine's image, in the layout of OCI: Docker 25 and later save that.
    let made = format!("ctx-{}:1", rig::unique());
    let context = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN echo {mark} >/mark\n"))]);
    agent.client().build(context.path(), &["-t", &made]).code(0);
    let layout = rig::scratch();
    let Output { stdout, status, .. } = engine.try_docker(&["save", &made]);
    assert!(status.success());
    fs::write(layout.path().join("all.tar"), stdout).unwrap();
    written(layout.path(), "tar -xf all.tar && rm all.tar");
    let (tag, place) = (format!("ctx-{}:2", rig::unique()), format!("basis=oci-layout://{}", layout.path().display()));
    let context = rig::context(&[("Dockerfile", "FROM basis\nRUN cp /mark /copied\n")]);
    let args = ["-t", &tag, "--build-context", &place];
    agent.client().build(context.path(), &args).code(0);
    let image = Image::of(&engine, &tag);
    assert!(image.holds("mark", &format!("{mark}\n")) && image.holds("copied", &format!("{mark}\n")));
    // Elsewhere nothing of it is known.
    let empty = Engine::start(kind);
    let agent = Agent::start(&empty);
    agent.client().build(context.path(), &args).code(0);
    assert!(Image::of(&empty, &tag).holds("copied", &format!("{mark}\n")));
    written(layout.path(), "rm -r blobs");
    let empty = Engine::start(kind);
    Agent::start(&empty).client().build(context.path(), &args).code(2).says("blobs/sha256/");
}

fn an_image_in_a_directory_is_refused(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let index = format!(r#"{{"manifests": [{{"digest": "sha256:{}"}}]}}"#, "a".repeat(64));
    let context = rig::context(&[("Dockerfile", "FROM a\n"), ("layout/index.json", &index)]);
    let place = format!("a=oci-layout://{}/layout", context.path().display());
    let outcome = agent.client().build(context.path(), &["--build-context", &place]).code(2);
    outcome.says("--build-context a").says("docker-image://");
}

/// A cache that hits too much would publish an old image under the new name.
fn a_context_that_changed_is_never_taken_for_the_old_one(kind: Kind) {
    let registry = Registry::start();
    let (base, tag) = (registry.image("base:1"), registry.image("app:1"));
    let other = registry.image("other:1");
    let (old, new) = (rig::unique(), rig::unique());
    let dockerfile = "FROM basis AS one\nRUN echo one >/one\nFROM basis\nCOPY --from=one /one /one\n\
                      COPY --from=data file /file\nRUN cp /file /copied\n";
    let context = rig::context(&[("Dockerfile", dockerfile)]);
    let data = rig::context(&[("file", &old)]);
    let data_arg = format!("data={}", data.path().display());
    let upon = |basis: &str| {
        let engine = Engine::start(kind);
        let agent = Agent::start(&engine);
        let basis = format!("basis=docker-image://{basis}");
        let args = ["--push", "-t", &tag, "--build-context", &data_arg, "--build-context", &basis];
        let outcome = agent.client().build(context.path(), &args).code(0);
        engine.pull(&tag);
        (outcome, Image::of(&engine, &tag))
    };
    let (_, image) = upon(&base);
    assert!(image.holds("copied", &old));
    let (outcome, image) = upon(&base);
    outcome.assert_all_cached();
    assert!(image.holds("copied", &old));
    fs::write(data.path().join("file"), &new).unwrap();
    let (_, image) = upon(&base);
    assert!(image.holds("copied", &new) && image.holds("file", &new), "the old content is in the image");
    // Another image under the same name, and all else as it was.
    let engine = Engine::shared(kind);
    let making = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN echo {new} >/other\n"))]);
    Agent::start(&engine).client().build(making.path(), &["--push", "-t", &other]).code(0);
    let (_, image) = upon(&other);
    assert!(image.holds("copied", &new) && image.holds("other", &format!("{new}\n")), "the old base is in the image");
    // The same of an archive on standard input.
    let tag = registry.image("tar:1");
    fs::write(context.path().join("Dockerfile"), format!("FROM {base}\nCOPY file /f\nRUN cp /f /g\n")).unwrap();
    for content in [&old, &old, &new, &old] {
        fs::write(context.path().join("file"), content).unwrap();
        let engine = Engine::start(kind);
        let agent = Agent::start(&engine);
        build(&agent, written(context.path(), "tar -c ."), &["--push", "-t", &tag]).code(0);
        engine.pull(&tag);
        assert!(Image::of(&engine, &tag).holds("g", content), "the old content is in the image");
    }
}

fn a_password_in_a_url_is_not_shown(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY --from=page / /\n"), ("page", "x")]);
    let url = Server::start(context.path()).url("page").replace("http://", "http://me:canary@");
    let built = agent.client().build(context.path(), &["--build-context", &format!("page={url}")]).code(0);
    assert!(!built.stderr.contains("canary") && !agent.log().contains("canary"), "{}", built.stderr);
    built.says("[context page] http://127.0.0.1");
    let raw =
        agent.client().build(context.path(), &["--progress", "rawjson", "--build-context", &format!("page={url}")]);
    assert!(raw.stderr.contains("[context page]") && !raw.stderr.contains("canary"), "{}", raw.stderr);
    raw.code(0);
}

fn a_context_that_is_not_there_is_told_so(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY --from=a / /\n"), ("layout/index.json", "{}")]);
    let layout = format!("a=oci-layout://{}/layout", context.path().display());
    for value in ["a=/no/such/directory", "a=docker-image://UPPER", "UPPER=.", "a", "a b=.", "=.", &layout] {
        agent.client().build(context.path(), &["--build-context", value]).code(2).says("--build-context");
    }
    // Newer ones of this version fetch it.
    let server = Server::start(context.path());
    let outcome =
        agent.client().build(context.path(), &["--build-context", &format!("a={}", server.url("Dockerfile"))]);
    assert!(outcome.status.success() || outcome.stderr.contains("--build-context a: "), "{}", outcome.stderr);
}

fn an_engine_without_further_contexts_says_so(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY --from=a Dockerfile /\n")]);
    let place = format!("a={}", context.path().display());
    let outcome = agent.client().build(context.path(), &["--build-context", &place]).code(2);
    outcome.says("--build-context").says("23.0");
}
