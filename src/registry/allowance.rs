//! How much is read of the cache refs of one build: a registry must not fill the agent's memory.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most bytes that are read of all of them, and so kept for the build.
pub(super) const MOST: usize = 32 << 20;

/// What all cache refs of a build may take beyond their own shares: half of the whole.
pub(super) struct Common(AtomicUsize);

/// What one cache ref may take. One that takes a lot leaves the others their shares.
pub(super) struct Allowance<'a> {
    own: AtomicUsize,
    common: &'a Common,
}

impl Common {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(MOST / 2))
    }

    /// For one of so many `refs`.
    pub(super) fn allowance(&self, refs: usize) -> Allowance<'_> {
        Allowance { own: AtomicUsize::new(MOST / 2 / refs.max(1)), common: self }
    }
}

impl Allowance<'_> {
    /// Takes so many bytes; false where there are no more so many.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let take = |from: &AtomicUsize| from.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok();
        take(&self.own) || take(&self.common.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_refs_take_is_bounded_and_each_has_its_share() {
        const PIECE: usize = 8 << 10;
        let common = Common::new();
        let taken = |allowance: Allowance<'_>| (0..=MOST / PIECE).take_while(|_| allowance.take(PIECE)).count() * PIECE;
        let greed: usize = (1..48).map(|_| taken(common.allowance(48))).sum();
        let rest = taken(common.allowance(48));
        assert!(rest >= MOST / 2 / 48 - PIECE, "{rest}");
        assert!(greed + rest <= MOST && greed + rest > MOST - 49 * PIECE, "{greed} and {rest}");
    }
}
