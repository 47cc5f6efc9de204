//! Doing something again, as a [`Policy`] decides.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    time::Duration,
};

use crate::strategy::retry::{Policy, Trouble};

/// A further attempt that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a, E> {
    /// Its number; the first retry is attempt 2.
    pub number: u32,
    /// How many there are in all.
    pub of: u32,
    /// How long it waits until then.
    pub wait: Duration,
    /// Why the one before failed.
    pub error: &'a E,
}

impl<E> Attempt<'_, E> {
    /// One line for a person: `push of r:5000/app:1: 429 Too Many Requests, attempt 2 of 5 in 3 s`.
    pub fn notice(&self, what: &str, why: &str) -> String {
        let wait = match self.wait {
            short if short < Duration::from_secs(1) => format!("{} ms", short.as_millis()),
            long => format!("{} s", long.as_secs_f64().round()),
        };
        format!("{what}: {why}, attempt {} of {} in {wait}", self.number, self.of)
    }
}

/// Does `operation`, again and again as long as `policy` wants, and returns what the last attempt came to.
///
/// `trouble` says of an error what sort it is, and how long the registry asked to be left alone. `on_retry` hears of
/// each further attempt before the wait. Dropping the future ends it, in a wait as well.
pub async fn retrying<T, E, F, N>(
    policy: &Policy,
    mut operation: impl FnMut() -> F,
    trouble: impl Fn(&E) -> (Trouble, Option<Duration>),
    mut on_retry: impl FnMut(&Attempt<'_, E>) -> N,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    N: Future<Output = ()>,
{
    let mut number = 1;
    loop {
        let error = match operation().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let (sort, asked) = trouble(&error);
        let Some(wait) = policy.wait(number, sort, asked, jitter()) else { return Err(error) };
        number += 1;
        on_retry(&Attempt { number, of: policy.attempts, wait, error: &error }).await;
        tokio::time::sleep(wait).await;
    }
}

/// A number from 0 to 1 that is another one each time: the standard library seeds its hashes at random.
fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    const ASKED: Duration = Duration::from_secs(3);

    /// Fails `failures` times in the same way.
    async fn run(failures: u32, how: (Trouble, Option<Duration>)) -> (Result<u32, &'static str>, Vec<Duration>) {
        let (calls, mut waits) = (Cell::new(0), Vec::new());
        let operation = || {
            calls.set(calls.get() + 1);
            let call = calls.get();
            async move { if call > failures { Ok(call) } else { Err("429 Too Many Requests") } }
        };
        let on_retry = |attempt: &Attempt<'_, _>| {
            waits.push(attempt.wait);
            std::future::ready(())
        };
        let done = retrying(&Policy::default(), operation, |_| how, on_retry).await;
        (done, waits)
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_until_it_has_passed() {
        let start = Instant::now();
        let (done, waits) = run(3, (Trouble::Server, None)).await;
        assert_eq!(done, Ok(4));
        assert_eq!(waits.len(), 3);
        // 1 + 2 + 4 s, each cut by up to a half.
        assert!((3.5..=7.1).contains(&start.elapsed().as_secs_f64()), "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_registry_is_left_alone_for_as_long_as_it_asks() {
        let start = Instant::now();
        let (done, waits) = run(1, (Trouble::RateLimited, Some(ASKED))).await;
        assert_eq!(done, Ok(2));
        assert!(start.elapsed() >= ASKED && waits[0] <= ASKED + Duration::from_secs(1), "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_bounded_and_the_hopeless_gets_one() {
        let (done, waits) = run(99, (Trouble::Unreachable, None)).await;
        assert_eq!((done, waits.len()), (Err("429 Too Many Requests"), 4));
        let (done, waits) = run(99, (Trouble::Denied, None)).await;
        assert_eq!((done, waits.len()), (Err("429 Too Many Requests"), 0));
    }

    #[test]
    fn a_notice_is_one_line() {
        let attempt = Attempt { number: 2, of: 5, wait: Duration::from_millis(2950), error: &() };
        assert_eq!(
            attempt.notice("push of r:5000/app:1", "429 Too Many Requests"),
            "push of r:5000/app:1: 429 Too Many Requests, attempt 2 of 5 in 3 s"
        );
    }

    #[test]
    fn jitter_differs() {
        let numbers: Vec<f64> = (0..32).map(|_| jitter()).collect();
        assert!(numbers.iter().all(|n| (0.0..=1.0).contains(n)));
        assert!(numbers.iter().any(|n| (n - numbers[0]).abs() > 1e-6), "{numbers:?}");
    }
}
