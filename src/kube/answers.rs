//! Answers that are remembered for a while. Who asks while the same is being asked waits for that answer.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Mutex as Turn, time::Instant};

/// An answer, and until when it holds.
type Remembered<V> = Option<(V, Instant)>;

/// The answers. They are bounded in number: what holds for the shortest time goes first, and never one that somebody
/// waits for.
pub(super) struct Answers<K, V> {
    most: usize,
    known: Mutex<HashMap<K, Known<V>>>,
}

struct Known<V> {
    /// Held by who asks.
    answer: Arc<Turn<Remembered<V>>>,
    /// A copy for those who make room.
    until: Instant,
}

impl<V> Known<V> {
    /// Whether somebody waits for it. The map is locked: nobody comes meanwhile.
    fn is_asked(&self) -> bool {
        Arc::strong_count(&self.answer) > 1
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Answers<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    /// What is known, else what `ask` says, with the time until which that holds. An error is told to who asked, and
    /// not remembered.
    pub(super) async fn get<E>(&self, key: &K, ask: impl AsyncFnOnce() -> Result<(V, Instant), E>) -> Result<V, E> {
        let answer = self.place(key);
        let mut answer = answer.lock().await;
        let now = Instant::now();
        if let Some((value, until)) = answer.as_ref()
            && *until > now
        {
            return Ok(value.clone());
        }
        let (value, until) = ask().await?;
        *answer = Some((value.clone(), until));
        if let Some(known) = self.lock().get_mut(key) {
            known.until = until;
        }
        Ok(value)
    }

    /// Where the answer is or will be.
    fn place(&self, key: &K) -> Arc<Turn<Remembered<V>>> {
        let mut known = self.lock();
        if let Some(known) = known.get(key) {
            return Arc::clone(&known.answer);
        }
        let now = Instant::now();
        if known.len() >= self.most {
            known.retain(|_, known| known.until > now || known.is_asked());
        }
        while known.len() >= self.most {
            let rest = known.iter().filter(|(_, known)| !known.is_asked());
            let Some(first) = rest.min_by_key(|(_, known)| known.until).map(|(key, _)| key.clone()) else { break };
            known.remove(&first);
        }
        let answer = Arc::default();
        known.insert(key.clone(), Known { answer: Arc::clone(&answer), until: now });
        answer
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Known<V>>> {
        // The map is whole after every statement: a panic elsewhere does not spoil it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use super::*;

    struct Rig {
        answers: Answers<u32, u32>,
        asked: AtomicU32,
    }

    impl Rig {
        fn new() -> Self {
            Self { answers: Answers::new(3), asked: AtomicU32::new(0) }
        }

        async fn get(&self, key: u32, seconds: u64) -> u32 {
            let ask = async || {
                let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok::<_, ()>((asked, Instant::now() + Duration::from_secs(seconds)))
            };
            self.answers.get(&key, ask).await.unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_the_same_at_once_asks_once_and_again_when_it_is_over() {
        let rig = Rig::new();
        assert_eq!(tokio::join!(rig.get(1, 5), rig.get(1, 5), rig.get(1, 5)), (1, 1, 1));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(rig.get(1, 5).await, 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(rig.get(1, 5).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_or_fails_leaves_the_question_to_the_next() {
        let rig = Rig::new();
        tokio::select! {
            biased;
            _ = rig.get(1, 5) => unreachable!(),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        assert_eq!(rig.answers.get(&1, async || Err::<(u32, Instant), _>("down")).await, Err("down"));
        assert_eq!(rig.get(1, 5).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_keeps_what_is_asked_for_through_a_flood() {
        let rig = Rig::new();
        let flood = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            for other in 1..100 {
                drop(rig.answers.place(&other));
            }
            rig.get(0, 60).await
        };
        assert_eq!(tokio::join!(rig.get(0, 60), flood), (1, 1), "the same was asked twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refused_tokens_drives_out_no_good_one() {
        let rig = Rig::new();
        let good = rig.get(0, 60).await;
        for flood in 1..100 {
            rig.get(flood, 5).await;
        }
        assert!(rig.answers.lock().len() <= 3);
        assert_eq!(rig.get(0, 60).await, good, "it was asked for again");
    }
}
