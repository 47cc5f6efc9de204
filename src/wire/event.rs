//! `Event` and `Report` <-> protobuf.

use super::described::{from_answer, to_answer};
use super::explanation::{from_explanation, to_explanation};
use crate::{
    model::{Event, Report},
    pb::{self, event::Kind},
};

/// As it goes to the client.
pub fn to_event(event: Event) -> pb::Event {
    let kind = match event {
        Event::Notice { warning, text } => Kind::Notice(pb::Notice { warning, text, ..pb::Notice::default() }),
        Event::Waiting { text } => Kind::Notice(pb::Notice { text, waiting: true, ..pb::Notice::default() }),
        Event::Check { text, url } => {
            Kind::Notice(pb::Notice { warning: true, text, check: true, url, ..pb::Notice::default() })
        }
        Event::Status { json } => Kind::Status(pb::RawStatus { json }),
        Event::Accepted { build_id } => Kind::Accepted(pb::Accepted { build_id }),
        Event::StepStarted { step, name } => Kind::StepStarted(pb::StepStarted { step, name }),
        Event::StepLog { step, stderr, data } => Kind::StepLog(pb::StepLog { step, stderr, data }),
        Event::StepProgress { step, what, current, total, done } => {
            Kind::StepProgress(pb::StepProgress { step, what, current, total, done })
        }
        Event::StepDone { step, cached, error, elapsed_ms } => {
            Kind::StepDone(pb::StepDone { step, cached, error: error.unwrap_or_default(), elapsed_ms })
        }
        Event::PushProgress { reference, layer, state, current, total } => {
            Kind::PushProgress(pb::PushProgress { reference, layer, state, current, total })
        }
        Event::Pushed { reference, digest } => Kind::Pushed(pb::Pushed { reference, digest }),
        Event::Freed { kind, count, bytes, dry_run, at_most } => {
            Kind::Freed(pb::Freed { kind, count, bytes, dry_run, at_most })
        }
        Event::Done(report) => Kind::Done(pb::Done { report: Some(to_report(report)) }),
    };
    pb::Event { kind: Some(kind) }
}

/// As it comes from the agent. `None` for a kind that a newer agent knows and we do not.
pub fn from_event(event: pb::Event) -> Option<Event> {
    Some(match event.kind? {
        Kind::Notice(pb::Notice { text, check: true, url, .. }) => Event::Check { text, url },
        Kind::Notice(pb::Notice { text, waiting: true, .. }) => Event::Waiting { text },
        Kind::Notice(pb::Notice { warning, text, .. }) => Event::Notice { warning, text },
        Kind::Status(pb::RawStatus { json }) => Event::Status { json },
        Kind::Accepted(pb::Accepted { build_id }) => Event::Accepted { build_id },
        Kind::StepStarted(pb::StepStarted { step, name }) => Event::StepStarted { step, name },
        Kind::StepLog(pb::StepLog { step, stderr, data }) => Event::StepLog { step, stderr, data },
        Kind::StepProgress(pb::StepProgress { step, what, current, total, done }) => {
            Event::StepProgress { step, what, current, total, done }
        }
        Kind::StepDone(pb::StepDone { step, cached, error, elapsed_ms }) => {
            Event::StepDone { step, cached, error: Some(error).filter(|e| !e.is_empty()), elapsed_ms }
        }
        Kind::PushProgress(pb::PushProgress { reference, layer, state, current, total }) => {
            Event::PushProgress { reference, layer, state, current, total }
        }
        Kind::Pushed(pb::Pushed { reference, digest }) => Event::Pushed { reference, digest },
        Kind::Freed(pb::Freed { kind, count, bytes, dry_run, at_most }) => {
            Event::Freed { kind, count, bytes, dry_run, at_most }
        }
        Kind::Done(pb::Done { report }) => Event::Done(from_report(report.unwrap_or_default())),
    })
}

fn to_report(report: Report) -> pb::Report {
    let Report {
        steps,
        cached_steps,
        context_bytes,
        pulled_bytes,
        pushed,
        pushed_bytes,
        elapsed_ms,
        image_id,
        digest,
        tags,
        exporter,
        provenance,
        explanation,
        build_id,
        answer,
    } = report;
    pb::Report {
        steps,
        cached_steps,
        context_bytes,
        pulled_bytes,
        pushed: pushed.into_iter().collect(),
        pushed_bytes,
        elapsed_ms,
        image_id,
        digest,
        tags,
        exporter: exporter.into_iter().collect(),
        provenance: provenance.into_iter().collect(),
        explanation: explanation.map(|explanation| to_explanation(*explanation)),
        build_id,
        answer: answer.map(to_answer),
    }
}

fn from_report(report: pb::Report) -> Report {
    let pb::Report {
        steps,
        cached_steps,
        context_bytes,
        pulled_bytes,
        pushed,
        pushed_bytes,
        elapsed_ms,
        image_id,
        digest,
        tags,
        exporter,
        provenance,
        explanation,
        build_id,
        answer,
    } = report;
    Report {
        steps,
        cached_steps,
        context_bytes,
        pulled_bytes,
        pushed: pushed.into_iter().collect(),
        pushed_bytes,
        elapsed_ms,
        image_id,
        digest,
        tags,
        exporter: exporter.into_iter().collect(),
        provenance: provenance.into_iter().collect(),
        explanation: explanation.map(|explanation| Box::new(from_explanation(explanation))),
        build_id,
        answer: answer.map(from_answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_finds_is_a_warning_to_an_older_client() {
        let check = Event::Check { text: "JSONArgsRecommended".to_owned(), url: "https://d.example/".to_owned() };
        let sent = to_event(check.clone());
        let Some(Kind::Notice(notice)) = &sent.kind else { panic!("{sent:?}") };
        assert!(notice.warning && notice.text == "JSONArgsRecommended");
        assert_eq!(from_event(sent), Some(check));
        for event in [
            Event::Notice { warning: true, text: "slow".to_owned() },
            Event::Notice { warning: false, text: "waiting".to_owned() },
            Event::Waiting { text: "waiting".to_owned() },
            Event::Status { json: b"{}".to_vec() },
        ] {
            assert_eq!(from_event(to_event(event.clone())), Some(event));
        }
    }
}
