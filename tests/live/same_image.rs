//! The image equals what `docker build` makes on the same engine: its config without timestamps, and its root file system.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::rig::{self, Agent, Engine, Image, Kind, Registry};

on_every_engine!(with_stages, with_a_rich_config, with_every_sort_of_file, with_flags, with_a_dockerfile_elsewhere);

fn with_stages(kind: Kind) {
    check(
        kind,
        "FROM @base AS one\nRUN echo one > /one && chmod 751 /one\nFROM @base AS two\nCOPY --from=one /one /opt/one\n\
         RUN ln -s one /opt/link && mkdir -p /opt/empty && chown 12:34 /opt/empty\n",
        |_| {},
        &[],
    );
}

fn with_a_rich_config(kind: Kind) {
    check(
        kind,
        "FROM @base\nARG GREETING=hello\nENV WHO=world GREETING=$GREETING\nLABEL org.example.a=1 org.example.b=\"two words\"\n\
         WORKDIR /srv/app\nUSER 1000:1000\nEXPOSE 8080/tcp 53/udp\nVOLUME /data\nSTOPSIGNAL SIGINT\n\
         HEALTHCHECK --interval=5s CMD [\"true\"]\nSHELL [\"/bin/sh\", \"-e\", \"-c\"]\nONBUILD RUN echo later\n\
         ENTRYPOINT [\"/bin/echo\"]\nCMD [\"hello\"]\nMAINTAINER somebody\n",
        |_| {},
        &[],
    );
}

fn with_every_sort_of_file(kind: Kind) {
    let ignore = "# generated\n*.log\n!keep.log\n**/node_modules\ndist/*\n!dist/app\n/trailing/ \n";
    check(
        kind,
        "FROM @base\nCOPY . /all\nCOPY --chown=7:8 bin/ /bin2/\nADD archive.tar /unpacked\n",
        |dir| {
            let write = |name: &str, text: &str, mode: u32| {
                let path = dir.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            };
            write(".dockerignore", ignore, 0o644);
            write("a.log", "ignored", 0o644);
            write("keep.log", "kept", 0o644);
            write("web/node_modules/x", "ignored", 0o644);
            write("dist/app", "kept", 0o755);
            write("dist/other", "ignored", 0o644);
            write("trailing/x", "ignored", 0o644);
            write("bin/run", "#!/bin/sh\n", 0o755);
            write("bin/set-user-id", "s", 0o4755);
            write("modes/none", "", 0o000);
            write("modes/private", "p", 0o600);
            write("spaces and ünïcode/file name", "x", 0o644);
            write("big", &"0123456789abcdef".repeat(200_000), 0o644);
            std::fs::create_dir_all(dir.join("empty/directory")).unwrap();
            std::fs::set_permissions(dir.join("empty/directory"), std::fs::Permissions::from_mode(0o1777)).unwrap();
            symlink("../keep.log", dir.join("bin/link")).unwrap();
            symlink("/absolute/and/broken", dir.join("bin/broken")).unwrap();
            std::fs::hard_link(dir.join("big"), dir.join("also-big")).unwrap();
            // Engine 28 takes no such names, from whatever client: see `context`.
            if matches!(kind, Kind::Docker20 | Kind::Tls26) {
                std::fs::write(dir.join(OsStr::from_bytes(b"not-utf8-\xff\xfe")), "bytes").unwrap();
            }
            // A user's attribute; not every file system has them, and without it the comparison still holds.
            drop(Command::new("setfattr").args(["-n", "user.remora", "-v", "1"]).arg(dir.join("keep.log")).status());
            let tar =
                Command::new("tar").arg("-C").arg(dir).args(["-cf"]).arg(dir.join("archive.tar")).arg("bin").status();
            assert!(tar.unwrap().success());
        },
        &[],
    );
}

fn with_flags(kind: Kind) {
    check(
        kind,
        "ARG TAG=0\nFROM @base AS first\nARG NAME=nobody\nRUN echo $NAME > /name\nFROM first AS wanted\nARG NAME\n\
         RUN echo \"wanted by $NAME\" > /wanted\nFROM first\nRUN exit 1\n",
        |_| {},
        &["--target", "wanted", "--build-arg", "NAME=somebody with=signs", "--label", "a=b=c", "--label", "empty="],
    );
}

fn with_a_dockerfile_elsewhere(kind: Kind) {
    let extra = rig::scratch();
    let file = extra.path().join("Other.dockerfile");
    check_with(
        kind,
        |dir, base| {
            std::fs::write(&file, format!("FROM {base}\nCOPY . /all\n")).unwrap();
            // Counts before .dockerignore, as it lies beside the Dockerfile.
            std::fs::write(extra.path().join("Other.dockerfile.dockerignore"), "b\n").unwrap();
            for name in ["a", "b", "c"] {
                std::fs::write(dir.join(name), name).unwrap();
            }
            std::fs::write(dir.join(".dockerignore"), "c\n").unwrap();
        },
        &["-f", file.to_str().unwrap()],
    );
}

fn check(kind: Kind, dockerfile: &str, fill: impl FnOnce(&Path), args: &[&str]) {
    let write = |dir: &Path, base: &str| {
        std::fs::write(dir.join("Dockerfile"), dockerfile.replace("@base", base)).unwrap();
        fill(dir);
    };
    check_with(kind, write, args);
}

/// Builds with Docker's client and with ours, without help from any cache, and compares.
fn check_with(kind: Kind, fill: impl FnOnce(&Path, &str), args: &[&str]) {
    let registry = Registry::start();
    let engine = Engine::shared(kind);
    let context = rig::scratch();
    fill(context.path(), &registry.image("base:1"));
    let (theirs, ours) = (registry.image("theirs:1"), registry.image("ours:1"));
    let place = context.path().to_str().unwrap();
    engine.docker(&[&["build", "--network", "host", "--no-cache", "-t", &theirs], args, &[place]].concat());
    let agent = Agent::start(&engine);
    agent.client().build(context.path(), &[&["--no-cache", "-t", &ours], args].concat()).code(0);
    let difference = Image::of(&engine, &theirs).differences(&Image::of(&engine, &ours), "no such directory");
    assert!(
        difference.is_empty(),
        "ours differs from docker's: {}",
        difference.join(
            "
"
        )
    );
}
