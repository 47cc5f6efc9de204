//! Files that editors and permissions make odd.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

on_every_engine!(a_dockerfile_with_a_byte_order_mark_and_carriage_returns);
on_one_engine!(Docker28: what_may_not_be_read_is_named);

fn a_dockerfile_with_a_byte_order_mark_and_carriage_returns(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let (agent, base) = (Agent::start(&engine), registry.image("base:1"));
    let mark = rig::unique();
    let dockerfile = format!(
        "\u{feff}FROM {base}\r\nARG MARK={mark}\r\n# a comment\r\nCOPY file /file\r\nRUN echo $MARK >/one \\\r\n  && echo two >/two\r\n"
    );
    let context = rig::context(&[("Dockerfile", &dockerfile), ("file", "x\r\n"), (".dockerignore", "\u{feff}no\r\n")]);
    fs::write(context.path().join("no"), "").unwrap();
    let tag = format!("ctx-{}:1", rig::unique());
    let check = |outcome: Outcome| {
        outcome.code(0);
        let image = Image::of(&engine, &tag);
        assert!(
            image.holds("one", &format!("{mark}\n")) && image.holds("two", "two\n") && image.holds("file", "x\r\n")
        );
    };
    check(agent.client().build(context.path(), &["-t", &tag]));
    check(agent.client().with_input(&dockerfile).build(context.path(), &["-t", &tag, "-f", "-"]));
    check(build(&agent, written(context.path(), "tar -c ."), &["-t", &tag]));
    // Alone, and with a line that fails.
    let alone = agent.client().with_input(format!("\u{feff}FROM {base}\r\nRUN exit 7\r\n"));
    alone.run(&["build", "--network", "host", "-"]).code(1).says("Dockerfile:2");
}

fn what_may_not_be_read_is_named(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("sub/Dockerfile", "FROM scratch\nCOPY . /\n"), ("sub/file", "x")]);
    let (whole, file) = (context.path().join("sub"), context.path().join("sub/file"));
    let client = agent.client().plain();
    let forbid = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o0)).unwrap();
    forbid(&file);
    client.build(&whole, &[]).code(2).says("sub/file");
    forbid(&whole);
    let named = format!("a={}", whole.display());
    for outcome in [client.build(&whole, &[]), client.build(context.path(), &["--build-context", &named])] {
        outcome.code(2).says("Permission denied").says("you may read");
    }
}
