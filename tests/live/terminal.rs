//! Progress on a terminal, live and in place.

use std::time::Duration;

use tempfile::TempDir;

use crate::rig::{self, Kind, Registry, rows, with_base};

on_every_engine!(what_is_over_stays_and_what_ran_is_gone);
on_one_engine!(Docker28: one_column, resized, a_failed_steps_log_remains, an_interrupted_build_gives_the_cursor_back);

const SHOW_CURSOR: &str = "\x1b[?25h";

/// A context whose one RUN is this.
fn context(registry: &Registry, run: &str) -> TempDir {
    let text = format!("FROM {}\nRUN {run} # {}\n", registry.image("base:1"), rig::unique());
    rig::context(&[("Dockerfile", &text)])
}

const LINES: &str = "for n in $(seq 300); do echo \"a line $n\"; if [ $((n % 100)) = 0 ]; then sleep 0.2; fi; done";

fn what_is_over_stays_and_what_ran_is_gone(kind: Kind) {
    let (registry, agent) = with_base(kind);
    let context = context(&registry, LINES);
    let size = (100, 30);
    let (code, shown) = agent.client().build_on_terminal(size, &[context.path().to_str().unwrap()]).wait();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("a line 100"), "the step's last lines are shown while it runs:\n{shown}");
    assert!(shown.contains(SHOW_CURSOR));
    let rows = rows(&shown, size);
    assert!(rows.iter().any(|row| row.contains("DONE") && row.contains("RUN for n")), "{rows:#?}");
    assert!(!rows.iter().any(|row| row.starts_with("  a line")), "{rows:#?}");
    assert!(rows.last().unwrap().starts_with("sha256:") || rows.last().unwrap().starts_with("remora: "), "{rows:#?}");
}

fn one_column(kind: Kind) {
    let (registry, agent) = with_base(kind);
    let context = context(&registry, LINES);
    let (code, shown) = agent.client().build_on_terminal((1, 5), &[context.path().to_str().unwrap()]).wait();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("panicked"));
    assert!(shown.contains("RUN for n"), "what is over is told in full, however narrow it is");
    assert!(shown.contains(SHOW_CURSOR));
}

fn resized(kind: Kind) {
    let (registry, agent) = with_base(kind);
    let context = context(&registry, "echo first; sleep 2; echo second");
    let running = agent.client().build_on_terminal((100, 30), &[context.path().to_str().unwrap()]);
    rig::eventually("the step says something", Duration::from_secs(30), || {
        running.shown().contains("  first").then_some(())
    });
    running.resize((20, 10));
    let (code, shown) = running.wait();
    assert_eq!(code, Some(0), "{shown}");
    let rows = shown.split(['\r', '\n']).filter(|row| row.contains("s [2/2] RUN") && !row.contains("DONE"));
    let lengths: Vec<usize> = rows.filter_map(|row| row.rsplit("\x1b[J").next()).map(str::len).collect();
    assert!(lengths.contains(&19) && lengths.first() > Some(&19), "it does not follow the terminal: {lengths:?}");
}

fn a_failed_steps_log_remains(kind: Kind) {
    let (registry, agent) = with_base(kind);
    let context = context(&registry, "echo what went wrong; exit 3");
    let size = (100, 40);
    let (code, shown) = agent.client().build_on_terminal(size, &[context.path().to_str().unwrap()]).wait();
    assert_eq!(code, Some(1), "{shown}");
    let rows = rows(&shown, size);
    let at =
        |words: &str| rows.iter().rposition(|row| row.contains(words)).unwrap_or_else(|| panic!("{words}: {rows:#?}"));
    assert!(
        at("ERROR") < at("  what went wrong")
            && at("  what went wrong") < at(">>> RUN")
            && at(">>>") < at("exit code: 3")
    );
}

fn an_interrupted_build_gives_the_cursor_back(kind: Kind) {
    let (registry, agent) = with_base(kind);
    let context = context(&registry, "echo begun; sleep 1000");
    let running = agent.client().build_on_terminal((80, 24), &[context.path().to_str().unwrap()]);
    rig::eventually("the step runs", Duration::from_secs(30), || running.shown().contains("  begun").then_some(()));
    running.signal("INT");
    let (code, shown) = running.wait();
    assert_eq!(code, Some(130));
    let (_, after) = shown.rsplit_once("\x1b[?25l").unwrap();
    assert!(after.contains(SHOW_CURSOR), "{shown:?}");
}
