//! The wait for an agent, as long as `--wait` says.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::model::Failure;

/// The pause before the next try doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A wait that is told once, and in which agents are asked ever more rarely.
pub(super) struct Wait {
    limit: Duration,
    deadline: Instant,
    pause: Duration,
    told: bool,
}

impl Wait {
    /// It begins now.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, deadline: Instant::now() + limit, pause: PAUSE.0, told: false }
    }

    /// What is left of it.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The pause before somebody is asked again; what there was to wait for has failed where it is over.
    pub(super) async fn pause(&mut self, why: Failure, tell: impl FnOnce(String)) -> Result<(), Failure> {
        let left = self.left();
        if left.is_zero() {
            return Err(why);
        }
        if !std::mem::replace(&mut self.told, true) {
            tell(format!("waiting up to {} (--wait): {why}", humantime::format_duration(self.limit)));
        }
        sleep(self.pause.min(left)).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureKind;

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_told_once_asks_ever_more_rarely_and_once_more_at_its_end() {
        let (start, limit) = (Instant::now(), Duration::from_millis(2500));
        let (mut wait, mut told, mut asked) = (Wait::new(limit), Vec::new(), Vec::new());
        let why = loop {
            asked.push(start.elapsed().as_millis());
            let why = Failure::new(FailureKind::Agent, "nobody is there");
            if let Err(why) = wait.pause(why, |text| told.push(text)).await {
                break why;
            }
        };
        assert_eq!(asked, [0, 10, 30, 70, 150, 310, 630, 1270, 2270, 2500]);
        assert_eq!(told, ["waiting up to 2s 500ms (--wait): nobody is there"]);
        assert_eq!(why.what, "nobody is there");
    }
}
