#![allow(clippy::unwrap_used)]
use super::{
    super::tests::{Screen, cached, done, log, moved, started},
    *,
};

fn terminal(log_lines: usize) -> (Tty, Screen) {
    let screen = Screen::default();
    let painter = Painter::new(Box::new(screen.clone()), None);
    (
        Tty {
            painted: Some(Instant::now() + Duration::from_secs(3600)),
            ..Tty::new(painter, Colours::none(), log_lines)
        },
        screen,
    )
}

/// The terminal's picture, once it was told all this at these sizes.
fn picture(screen: &Screen, size: (u16, u16)) -> Vec<String> {
    let mut parser = vt100::Parser::new(size.1.try_into().unwrap(), size.0.try_into().unwrap(), 0);
    parser.process(&screen.bytes());
    parser.screen().rows(0, size.0).map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
}

fn paint(tty: &mut Tty, size: (usize, usize)) {
    let rows = tty.rows(Instant::now(), size);
    tty.painter.paint(&rows, size);
}

fn building() -> (Tty, Screen) {
    let (mut tty, screen) = terminal(2);
    for event in [
        started(1, "[internal] load build context"),
        cached(1),
        started(2, "[2/3] RUN make"),
        log(2, "one\ntwo\nthree\nfo"),
        started(3, "[3/3] COPY --from=big / /"),
        moved(3, "sha256:0123456789abcdef0123456789abcdef", 5_000_000, 20_000_000, false),
        moved(3, "sha256:done", 7, 7, true),
    ] {
        tty.show(event);
    }
    (tty, screen)
}

#[test]
fn what_runs_is_below_what_is_over() {
    let (mut tty, screen) = building();
    paint(&mut tty, (80, 24));
    assert_eq!(
        picture(&screen, (80, 24)),
        [
            "#1 CACHED [internal] load build context",
            "#2 0.0s [2/3] RUN make",
            "  three",
            "  fo",
            "#3 0.0s [3/3] COPY --from=big / /",
            "  sha256:0123456789abcdef0 [=====>              ] 5.0 MB / 20.0 MB",
        ]
    );
    tty.show(done(3));
    tty.show(log(2, "ur\n"));
    paint(&mut tty, (80, 24));
    assert_eq!(
        picture(&screen, (80, 24)),
        [
            "#1 CACHED [internal] load build context",
            "#3 DONE 3.1s [3/3] COPY --from=big / / (5.0 MB)",
            "#2 0.0s [2/3] RUN make",
            "  three",
            "  four",
        ]
    );
}

#[test]
fn a_step_that_is_over_comes_back_only_to_fetch() {
    let (mut tty, _) = terminal(2);
    for event in [
        started(1, "a"),
        cached(1),
        moved(1, "transferring", 5, 5, true),
        log(1, "late\n"),
        moved(1, "sha256:a", 1, 5, false),
    ] {
        tty.show(event);
    }
    assert_eq!(tty.rows(Instant::now(), (80, 24)).len(), 2);
    tty.show(moved(1, "sha256:a", 5, 5, true));
    assert_eq!(tty.rows(Instant::now(), (80, 24)), []);
}

#[test]
fn a_step_that_runs_once_more_has_its_rows_again() {
    let (mut tty, _) = terminal(2);
    for event in [started(1, "a"), log(1, "looked\n"), done(1), started(1, "a"), log(1, "fetched\n")] {
        tty.show(event);
    }
    let rows = tty.rows(Instant::now(), (80, 24));
    assert_eq!(rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["#1 0.0s a", "  fetched"]);
    tty.show(done(1));
    assert_eq!(tty.rows(Instant::now(), (80, 24)), []);
}

#[test]
fn the_end_leaves_what_is_over_and_a_cursor() {
    let (mut tty, screen) = building();
    paint(&mut tty, (80, 24));
    assert!(screen.text().starts_with("\x1b[?25l"));
    tty.show(done(2));
    tty.finish();
    let picture = picture(&screen, (80, 24));
    assert_eq!(picture, ["#1 CACHED [internal] load build context", "#2 DONE 3.1s [2/3] RUN make"]);
    assert!(screen.text().ends_with("\x1b[?25h"));
}

#[test]
fn a_dropped_display_shows_the_cursor() {
    let (mut tty, screen) = building();
    paint(&mut tty, (80, 24));
    drop(tty);
    assert!(screen.text().ends_with("\x1b[?25h"), "an interrupted build would hide it for ever");
}

#[test]
fn every_size_is_kept_to() {
    for (width, height) in [(1, 1), (1, 24), (2, 2), (7, 3), (80, 1), (0, 0)] {
        let (mut tty, screen) = building();
        tty.show(log(2, "\x1b[2Jwide 日本語\ttab\n"));
        for _ in 0..3 {
            let rows = tty.rows(Instant::now(), (width, height));
            assert!(rows.len() < height.max(2), "{width}x{height}: {rows:?}");
            assert!(rows.iter().all(|row| row.columns < width.max(2)), "{width}x{height}: {rows:?}");
            tty.painter.paint(&rows, (width, height));
        }
        tty.finish();
        assert!(!screen.text().contains("\x1b[2J"));
    }
}

#[test]
fn one_column_is_enough() {
    let (mut tty, screen) = terminal(2);
    tty.show(started(1, "[1/1] RUN make"));
    tty.show(log(1, "one\n"));
    for _ in 0..5 {
        paint(&mut tty, (1, 10));
    }
    assert_eq!(picture(&screen, (1, 10)), ["#"], "rows of five pictures would pile up");
}

#[test]
fn a_terminal_that_becomes_narrower_keeps_no_rests() {
    let (mut tty, screen) = terminal(2);
    tty.show(started(1, &"x".repeat(200)));
    paint(&mut tty, (80, 24));
    paint(&mut tty, (30, 24));
    // 79 columns are three rows of 30.
    assert!(screen.text().contains("\r\x1b[3A\x1b[J"), "{:?}", screen.text());
}

#[test]
fn layers_of_a_push_have_bars() {
    let (mut tty, screen) = terminal(2);
    for (layer, state, current) in [("aaa", "Pushing", 250), ("bbb", "Pushed", 1000)] {
        let (reference, layer, state) = ("r/a:1".to_owned(), layer.to_owned(), state.to_owned());
        tty.show(Event::PushProgress { reference, layer, state, current, total: 1000 });
    }
    paint(&mut tty, (80, 24));
    let bars = [
        "push r/a:1",
        "  aaa                      [=====>              ] 250 B / 1.0 kB",
        "  in all                   [============>       ] 1.2 kB / 2.0 kB",
    ];
    assert_eq!(picture(&screen, (80, 24)), bars);
    tty.show(Event::Pushed { reference: "r/a:1".to_owned(), digest: "sha256:d".to_owned() });
    paint(&mut tty, (80, 24));
    assert_eq!(picture(&screen, (80, 24)), ["pushed r/a:1 sha256:d"]);
}
