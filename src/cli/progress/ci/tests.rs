#![allow(clippy::unwrap_used)]
use super::{
    super::tests::{Screen, cached, done, failed, log, moved, shown, started, warning},
    *,
};

fn on(ci: Ci, events: Vec<Event>) -> String {
    shown(|out| Steps::new(out, Marks::fixed(ci), Colours::none()), events)
}

/// Two steps at once, the engine's own work, and one that is cached.
fn build() -> Vec<Event> {
    vec![
        started(1, "[internal] load build context"),
        moved(1, "transferring context:", 1500, 0, true),
        done(1),
        started(2, "[a 2/2] RUN make"),
        started(3, "[b 2/2] RUN test"),
        log(2, "a1\na"),
        log(3, "b1\n"),
        started(4, "[c 1/1] COPY x y"),
        cached(4),
        log(2, "2\n"),
        log(3, "b2"),
        done(3),
        warning("slow"),
        log(2, "a3\n"),
        done(2),
    ]
}

#[test]
fn steps_never_mix_and_nothing_is_lost() {
    assert_eq!(
        on(Ci::Other, build()),
        "#1 DONE 3.1s [internal] load build context (1.5 kB)\n\
         #2 [a 2/2] RUN make\n  a1\n  a2\nremora: warning: slow\n  a3\n#2 DONE 3.1s [a 2/2] RUN make\n\
         #3 [b 2/2] RUN test\n  b1\n  b2\n#3 DONE 3.1s [b 2/2] RUN test\n\
         #4 CACHED [c 1/1] COPY x y\n"
    );
}

#[test]
fn gitlab_folds_what_is_over() {
    assert_eq!(
        on(Ci::GitLab, build()),
        "#1 DONE 3.1s [internal] load build context (1.5 kB)\n\
         \x1b[0Ksection_start:1700000000:remora_u_2\r\x1b[0K#2 [a 2/2] RUN make\n  a1\n  a2\n\
         remora: warning: slow\n  a3\n\x1b[0Ksection_end:1700000000:remora_u_2\r\x1b[0K\n\
         #2 DONE 3.1s [a 2/2] RUN make\n\
         \x1b[0Ksection_start:1700000000:remora_u_3[collapsed=true]\r\x1b[0K#3 [b 2/2] RUN test\n  b1\n  b2\n\
         \x1b[0Ksection_end:1700000000:remora_u_3\r\x1b[0K\n#3 DONE 3.1s [b 2/2] RUN test\n\
         #4 CACHED [c 1/1] COPY x y\n"
    );
}

#[test]
fn github_groups_and_obeys_no_step() {
    let events = vec![
        started(1, "[1/1] RUN 100%"),
        log(1, "one\n::add-mask::o\n##[group]x\n"),
        done(1),
        started(2, "[2/2] RUN echo '##[error]x'"),
        cached(2),
        warning("w"),
    ];
    assert_eq!(
        on(Ci::GitHub, events),
        "::group::#1 [1/1] RUN 100%25\n  one\n::stop-commands::u\n  ::add-mask::o\n  ##[group]x\n::u::\n::endgroup::\n\
         #1 DONE 3.1s [1/1] RUN 100%\n\
         ::stop-commands::u\n#2 CACHED [2/2] RUN echo '##[error]x'\n::u::\nremora: warning: w\n"
    );
}

/// Build args stand in the names of steps, and one of them may be a stranger's commit message.
#[test]
fn names_errors_and_notices_are_one_line_that_nobody_obeys() {
    let evil = "x\n::add-mask::y\r\n--- z\x1b[0Ksection_end:1:a\r\x1b[0K";
    let clean = "x ::add-mask::y --- zsection_end:1:a";
    let events = vec![started(1, evil), log(1, "out\n"), failed(1, evil), warning(evil), started(2, evil), cached(2)];
    for ci in [Ci::Other, Ci::GitHub] {
        let (begin, end) = if ci == Ci::GitHub { ("::group::", "::endgroup::\n") } else { ("", "") };
        assert_eq!(
            on(ci, events.clone()),
            format!(
                "{begin}#1 {clean}\n  out\n{end}#1 ERROR {clean}: {clean}\nremora: warning: {clean}\n\
                 #2 CACHED {clean}\n"
            )
        );
    }
}

#[test]
fn buildkite_has_a_heading_for_each_step_and_opens_what_failed() {
    let events =
        vec![started(1, "a"), cached(1), started(2, "b"), log(2, "--- no heading\n"), failed(2, "exit code: 1")];
    assert_eq!(
        on(Ci::Buildkite, events),
        "--- #1 CACHED a\n+++ #2 b\n  --- no heading\n#2 ERROR b: exit code: 1\n^^^ +++\n+++ remora\n"
    );
}

#[test]
fn jenkins_has_neither_colours_nor_cursors() {
    let events = vec![started(1, "a"), log(1, "\x1b[31mred\x1b[0m\x1b[2K\n50%\r100%\n"), done(1)];
    assert_eq!(on(Ci::Jenkins, events), "#1 a\n  red\n  100%\n#1 DONE 3.1s a\n");
}

#[test]
fn what_was_cancelled_is_shown_as_far_as_it_came() {
    let events = vec![started(1, "a"), log(1, "1\n"), started(2, "b"), log(2, "2\nha"), log(1, "lf")];
    assert_eq!(on(Ci::Other, events), "#1 a\n  1\n  lf\n#2 b\n  2\n  ha\n");
}

#[test]
fn what_follows_the_end_of_a_step_is_shown_too() {
    let events = vec![started(1, "a"), log(1, "1\n"), done(1), log(1, "2\n"), done(1)];
    assert_eq!(on(Ci::Other, events), "#1 a\n  1\n#1 DONE 3.1s a\n#1 a\n  2\n#1 DONE 3.1s a\n");
}

#[test]
fn a_step_that_runs_once_more_leaves_the_stage_again() {
    let twice = [started(1, "a"), log(1, "looked\n"), done(1), started(1, "a"), log(1, "fetched\n"), done(1)];
    let screen = Screen::default();
    let mut steps = Steps::new(Box::new(screen.clone()), Marks::fixed(Ci::Other), Colours::none());
    for event in twice.into_iter().chain([started(2, "b"), log(2, "at once\n")]) {
        steps.show(event);
    }
    assert!(screen.text().ends_with("  fetched\n#1 DONE 3.1s a\n#2 b\n  at once\n"), "{}", screen.text());
}

#[test]
fn many_lines_behind_the_stage_wait_in_order() {
    let mut events = vec![started(1, "a"), log(1, "on stage\n"), started(2, "b")];
    let lines = |n| (0..500).map(|m| format!("{n} {m}\n")).collect::<Vec<_>>().concat();
    events.extend((0..1000).map(|n| log(2, &lines(n))));
    events.extend([done(2), done(1)]);
    let text = on(Ci::Other, events);
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(lines.len(), 500_001);
    let expected = (0..1000).flat_map(|n| (0..500).map(move |m| format!("{n} {m}")));
    assert!(lines[1..].iter().zip(expected).all(|(line, wanted)| *line == wanted));
}
