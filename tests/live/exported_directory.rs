//! Results that go into a directory of the client, beside what `docker build -o` makes on the same engine.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(
    a_directory_gets_what_docker_would_put_there,
    every_platform_has_a_directory_of_its_own,
    what_lies_there_is_treated_as_docker_does,
    a_directory_that_cannot_be_written_is_named_before_anything_is_built,
);
on_both_stores!(many_files_arrive);

/// Every file below a directory: name, type, mode, owner, size, time, links, target, and a checksum. The client of 20.10
/// leaves directories with the time of their writing.
fn listing(directory: &Path, kind: Kind) -> Vec<String> {
    let times = if kind == Kind::Docker20 { "" } else { "%T@" };
    let script = "find . -mindepth 1 ! -type d -printf '%p %y %m %U:%G %s %T@ %n %l\\n'; \
        find . -mindepth 1 -type d -printf \"%p %y %m %U:%G $times %n\\n\"; \
        find . -type f -exec sha256sum {} +; stat -c '%a' .";
    let listed = Command::new("sh").args(["-ec", script]).env("times", times).current_dir(directory).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let mut lines: Vec<_> = String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn rich(base: &str) -> String {
    format!(
        "FROM {base} AS made\nRUN mkdir -p /o/dir/sub /o/closed /o/sticky && cd /o && echo hi >dir/f && ln dir/f dir/sub/hard && \
         ln -s ../f dir/sub/sym && ln -s /etc/passwd absolute && mkfifo fifo && mknod null c 1 3 && chmod 4755 dir/f && \
         echo x >closed/x && chmod 0444 closed/x && chmod 0555 closed && chmod 1777 sticky && : >empty && \
         chown 12:34 empty && echo odd >\"$(printf 'a\\tb\\377')\" && touch -d '2001-02-03 04:05:06' dir/f dir && echo {}\n\
         FROM scratch\nCOPY --from=made /o /\n",
        rig::unique()
    )
}

fn a_directory_gets_what_docker_would_put_there(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    // Docker's own protobuf takes no names that are not UTF-8.
    let dockerfile = rich(&registry.image("base:1")).replace("\\377", "");
    let context = rig::context(&[("Dockerfile", &dockerfile)]);
    let dir = rig::scratch();
    let (ours, theirs) = (dir.path().join("not/there/ours"), dir.path().join("not/there/theirs"));
    agent.client().build(context.path(), &["-o", ours.to_str().unwrap()]).code(0);
    let place = format!("type=local,dest={}", theirs.display());
    engine.docker(&["build", "--network", "host", "-o", &place, context.path().to_str().unwrap()]);
    assert_eq!(listing(&ours, kind), listing(&theirs, kind));
    let again = format!("type=local,dest={}", ours.display());
    agent.client().build(context.path(), &["-o", &again]).code(0);
    assert_eq!(listing(&ours, kind), listing(&theirs, kind), "a second export into the same directory");
}

fn every_platform_has_a_directory_of_its_own(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let dockerfile = "FROM scratch\nARG TARGETARCH\nCOPY file /of-$TARGETARCH\n";
    let context = rig::context(&[("Dockerfile", dockerfile), ("file", &rig::unique())]);
    let dir = rig::scratch();
    let args = ["--platform", "linux/amd64,linux/arm64", "-o", dir.path().to_str().unwrap()];
    agent.client().build(context.path(), &args).code(0);
    for arch in ["amd64", "arm64"] {
        let made = dir.path().join(format!("linux_{arch}/of-{arch}"));
        assert_eq!(std::fs::read(&made).unwrap(), std::fs::read(context.path().join("file")).unwrap(), "{arch}");
    }
}

fn what_lies_there_is_treated_as_docker_does(kind: Kind) {
    let engine = Engine::shared(kind);
    let agent = Agent::start(&engine);
    let dockerfile = "FROM scratch\nCOPY t /\n";
    let new = rig::unique();
    let files = ["t/file", "t/d/new", "t/tree", "t/to-file", "t/to-directory/f"].map(|name| (name, new.as_str()));
    let context = rig::context(&[&files[..], &[("Dockerfile", dockerfile)]].concat());
    let (dir, outside) = (rig::scratch(), rig::context(&[("f", "theirs")]));
    let prepare = |name: &str| {
        let place = dir.path().join(name);
        for (path, content) in [("file", "old"), ("kept", "kept"), ("d/kept", "kept"), ("tree/deep/down", "old")] {
            std::fs::create_dir_all(place.join(path).parent().unwrap()).unwrap();
            std::fs::write(place.join(path), content).unwrap();
        }
        symlink(outside.path(), place.join("to-directory")).unwrap();
        symlink(outside.path().join("f"), place.join("to-file")).unwrap();
        place
    };
    let (ours, theirs) = (prepare("ours"), prepare("theirs"));
    agent.client().build(context.path(), &["-o", ours.to_str().unwrap()]).code(0);
    engine.docker(&["build", "-o", theirs.to_str().unwrap(), context.path().to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(outside.path().join("f")).unwrap(), "theirs");
    // Their times are those of the preparation.
    let kept = |line: &String| !line.contains("kept ");
    let listed = |place: &Path| {
        let times = |line: String| {
            line.split(' ').filter(|word| !word.contains('.') || word.starts_with('.')).collect::<Vec<_>>().join(" ")
        };
        listing(place, kind).into_iter().filter(kept).map(times).collect::<Vec<_>>()
    };
    assert_eq!(listed(&ours), listed(&theirs));
    assert_eq!(std::fs::read_to_string(ours.join("d/kept")).unwrap(), "kept");
}

fn a_directory_that_cannot_be_written_is_named_before_anything_is_built(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let file = context.path().join("Dockerfile");
    for place in [file.to_str().unwrap(), &format!("{}/below", file.display())] {
        let refused = agent.client().build(context.path(), &["-o", place]).code(2).says(file.to_str().unwrap());
        assert!(!refused.stderr.contains("exporting"), "{}", refused.stderr);
    }
    for odd in ["type=local", "type=local,dest=", "type=local,dest=-", "type=local,dest=d,mode=delete"] {
        agent.client().build(context.path(), &["-o", odd]).code(2);
    }
    let place = context.path().join("out");
    agent.client().build(context.path(), &["-o", place.to_str().unwrap(), "--push", "-t", "r.example/a:1"]).code(2);
    assert!(!place.exists());
}

/// The engine tells of them faster than any disk makes them.
fn many_files_arrive(kind: Kind) {
    let (registry, agent) = (Registry::start(), Agent::start(&Engine::shared(kind)));
    let dockerfile = format!(
        "FROM {} AS made\nRUN mkdir /o && cd /o && i=0 && while test $((i+=1)) -le 20000; do echo $i >$i; done && echo {}\nFROM scratch\nCOPY --from=made /o /\n",
        registry.image("base:1"),
        rig::unique()
    );
    let context = rig::context(&[("Dockerfile", &dockerfile)]);
    let dir = rig::scratch();
    agent.client().build(context.path(), &["-o", dir.path().to_str().unwrap()]).code(0);
    let sum = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap().trim().parse::<u64>().unwrap());
    assert_eq!(sum.sum::<u64>(), 20_000 * 20_001 / 2);
}
