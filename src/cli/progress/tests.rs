#![allow(clippy::unwrap_used)]
use std::sync::{Arc, Mutex};

use super::*;
use crate::model::StepId;

/// What a display wrote.
#[derive(Clone, Default)]
pub(super) struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What such a display makes of these events.
pub(super) fn shown<D: Display + 'static>(display: impl FnOnce(Out) -> D, events: Vec<Event>) -> String {
    let screen = Screen::default();
    let display = Box::new(display(Box::new(screen.clone())));
    let mut progress = Progress { display, checks: Checks::default(), taken: false, begun: false, finished: false };
    for event in events {
        progress.show(event);
    }
    progress.finish();
    screen.text()
}

pub(super) fn log(step: StepId, text: &str) -> Event {
    Event::StepLog { step, stderr: false, data: text.as_bytes().to_vec() }
}

pub(super) fn started(step: StepId, name: &str) -> Event {
    Event::StepStarted { step, name: name.to_owned() }
}

pub(super) fn done(step: StepId) -> Event {
    Event::StepDone { step, cached: false, error: None, elapsed_ms: 3140 }
}

pub(super) fn cached(step: StepId) -> Event {
    Event::StepDone { step, cached: true, error: None, elapsed_ms: 0 }
}

pub(super) fn failed(step: StepId, error: &str) -> Event {
    Event::StepDone { step, cached: false, error: Some(error.to_owned()), elapsed_ms: 3140 }
}

pub(super) fn moved(step: StepId, what: &str, current: u64, total: u64, done: bool) -> Event {
    Event::StepProgress { step, what: what.to_owned(), current, total, done }
}

pub(super) fn warning(text: &str) -> Event {
    Event::Notice { warning: true, text: text.to_owned() }
}

fn plain(events: Vec<Event>) -> String {
    shown(|out| plain::Plain::new(out, colour::Colours::none()), events)
}

#[test]
fn a_step_has_a_first_line_its_output_and_a_last_line() {
    let events = vec![
        started(1, "[1/2] RUN make"),
        started(2, "[2/2] COPY a b"),
        log(1, "one\r\ntw"),
        cached(2),
        log(1, "o\nthree"),
        moved(1, "transferring", 1500, 0, true),
        done(1),
    ];
    assert_eq!(
        plain(events),
        "#1 [1/2] RUN make\n#2 [2/2] COPY a b\n#1   one\n#2 CACHED [2/2] COPY a b\n#1   two\n\
         #1   transferring 1.5 kB\n#1   three\n#1 DONE 3.1s [1/2] RUN make\n"
    );
}

#[test]
fn an_error_is_on_the_steps_last_line() {
    let events = vec![started(1, "RUN false"), failed(1, "exit code: 1\n")];
    assert_eq!(plain(events), "#1 RUN false\n#1 ERROR RUN false: exit code: 1\n");
}

#[test]
fn quiet_shows_warnings_alone() {
    let note = Event::Notice { warning: false, text: "waiting".to_owned() };
    let events = vec![started(1, "RUN"), note, warning("retrying")];
    assert_eq!(shown(plain::Plain::quiet, events), "remora: warning: retrying\n");
}

#[test]
fn a_build_that_waits_says_so_in_every_display_that_has_a_word_for_it() {
    let waiting = || vec![Event::Waiting { text: "waiting: 2 builds ahead".to_owned() }];
    let ci = |out| ci::Steps::new(out, ci::Marks::new(ci::Ci::Other), colour::Colours::none());
    let tty = |out| tty::Tty::new(tty::Painter::new(out, Some(80)), colour::Colours::none(), 6);
    assert_eq!(plain(waiting()), "remora: waiting: 2 builds ahead\n");
    assert_eq!(shown(ci, waiting()), "remora: waiting: 2 builds ahead\n");
    assert!(shown(tty, waiting()).contains("waiting: 2 builds ahead"));
    let raw: serde_json::Value = serde_json::from_str(&shown(rawjson::RawJson::new, waiting())).unwrap();
    assert_eq!(raw["vertexes"][0]["name"], "waiting: 2 builds ahead");
    assert_eq!(shown(plain::Plain::quiet, waiting()), "", "who wants the id alone gets that");
}

#[test]
fn colours_are_of_lines_and_end_with_them() {
    let colours = colour::Colours::of("error=red:run=blue:warning=yellow");
    let text = shown(
        |out| plain::Plain::new(out, colours),
        vec![started(1, "a"), log(1, "b\n"), failed(1, "c"), warning("d")],
    );
    assert_eq!(text, "\x1b[34m#1 a\x1b[0m\n#1   b\n\x1b[31m#1 ERROR a: c\x1b[0m\n\x1b[33mremora: warning: d\x1b[0m\n");
}

#[test]
fn what_was_interrupted_is_shown_as_far_as_it_came() {
    let screen = Screen::default();
    let steps = ci::Steps::new(Box::new(screen.clone()), ci::Marks::new(ci::Ci::Other), colour::Colours::none());
    let mut progress =
        Progress { display: Box::new(steps), checks: Checks::default(), taken: false, begun: false, finished: false };
    for event in [started(1, "a"), log(1, "1\n"), started(2, "b"), log(2, "2\n")] {
        progress.show(event);
    }
    drop(progress);
    assert_eq!(screen.text(), "#1 a\n  1\n#2 b\n  2\n");
}

#[test]
fn what_a_check_finds_is_said_once_and_last() {
    let check = |text: &str, url: &str| Event::Check { text: text.to_owned(), url: url.to_owned() };
    let events = vec![
        check("JSONArgsRecommended: use JSON (line 3)", "https://d.example/r"),
        started(1, "a"),
        check("JSONArgsRecommended: use JSON (line 3)", "https://d.example/r"),
        check("StageNameCasing: lower case (line 1)", ""),
        done(1),
    ];
    assert_eq!(
        plain(events),
        "#1 a\n#1 DONE 3.1s a\n\
         remora: warning: JSONArgsRecommended: use JSON (line 3), see https://d.example/r\n\
         remora: warning: StageNameCasing: lower case (line 1)\n"
    );
}

#[test]
fn raw_status_is_json_whatever_happens() {
    let status = Event::Status { json: br#"{"vertexes":[]}"#.to_vec() };
    let push = |state: &str| Event::PushProgress {
        reference: "r/a:1".to_owned(),
        layer: "abc".to_owned(),
        state: state.to_owned(),
        current: 5,
        total: 10,
    };
    let pushed = Event::Pushed { reference: "r/a:1".to_owned(), digest: "sha256:d".to_owned() };
    let events = vec![status, started(1, "a"), warning("w"), push("Pushing"), push("Pushed"), pushed];
    let text = shown(rawjson::RawJson::new, events);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(text.lines().next(), Some(r#"{"vertexes":[]}"#), "what the engine says is not touched");
    assert_eq!(lines.len(), 6, "{text}");
    assert_eq!(lines[1]["warnings"][0]["short"], "dw==");
    assert_eq!(lines[2]["vertexes"][0]["name"], "pushing r/a:1");
    assert_eq!(lines[3]["statuses"][0]["vertex"], lines[2]["vertexes"][0]["digest"]);
    assert!(lines[3]["statuses"][0]["completed"].is_null() && lines[4]["statuses"][0]["completed"].is_string());
    assert!(lines[5]["vertexes"][0]["completed"].is_string());
}
