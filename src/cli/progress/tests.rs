#![allow(clippy::unwrap_used)]
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shown(quiet: bool, events: Vec<Event>) -> String {
    let screen = Screen::default();
    let mut progress = Progress::to(Box::new(screen.clone()), quiet);
    for event in events {
        progress.show(event);
    }
    String::from_utf8(screen.0.lock().unwrap().clone()).unwrap()
}

fn log(step: StepId, text: &str) -> Event {
    Event::StepLog { step, stderr: false, data: text.as_bytes().to_vec() }
}

fn started(step: StepId, name: &str) -> Event {
    Event::StepStarted { step, name: name.to_owned() }
}

fn done(step: StepId, cached: bool, error: Option<&str>) -> Event {
    Event::StepDone { step, cached, error: error.map(str::to_owned), elapsed_ms: 3140 }
}

#[test]
fn a_step_has_a_first_line_its_output_and_a_last_line() {
    let events = vec![
        started(1, "[1/2] RUN make"),
        started(2, "[2/2] COPY a b"),
        log(1, "one\r\ntw"),
        done(2, true, None),
        log(1, "o\nthree"),
        done(1, false, None),
    ];
    assert_eq!(
        shown(false, events),
        "#1 [1/2] RUN make\n#2 [2/2] COPY a b\n#1   one\n#2 CACHED [2/2] COPY a b\n#1   two\n#1   three\n\
         #1 DONE 3.1s [1/2] RUN make\n"
    );
}

#[test]
fn an_error_is_on_the_steps_last_line() {
    let events = vec![started(1, "RUN false"), done(1, false, Some("exit code: 1\n"))];
    assert_eq!(shown(false, events), "#1 RUN false\n#1 ERROR RUN false: exit code: 1\n");
}

#[test]
fn quiet_shows_warnings_alone() {
    let warning = Event::Notice { warning: true, text: "retrying".to_owned() };
    let note = Event::Notice { warning: false, text: "waiting".to_owned() };
    assert_eq!(shown(true, vec![started(1, "RUN"), note, warning]), "remora: warning: retrying\n");
}
