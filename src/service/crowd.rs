//! How many may be connected by the network, and how many of one place may be about to be. One that may not is turned away
//! at once: its client goes on to the next agent.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most connections of a listener.
const ALL: usize = 1024;
/// The most of one place that have not begun to speak HTTP/2: behind a proxy a place is many clients, which are at it for
/// milliseconds each.
const BEGINNING: usize = 128;

/// The connections of a listener.
#[derive(Clone)]
pub(super) struct Crowd {
    all: Arc<Semaphore>,
    beginning: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of them, while it is there.
pub(super) type Member = OwnedSemaphorePermit;

/// One that begins, while it does.
pub(super) struct Beginner {
    crowd: Crowd,
    place: IpAddr,
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), beginning: Arc::default() }
    }

    /// Takes in who comes from this address. The error says who are too many.
    pub(super) fn enter(&self, address: IpAddr) -> Result<(Member, Beginner), &'static str> {
        let member = Arc::clone(&self.all).try_acquire_owned().map_err(|_| "too many are connected")?;
        let place = place(address);
        let mut beginning = self.lock();
        let count = beginning.entry(place).or_default();
        if *count >= BEGINNING {
            return Err("too many connections of its address say nothing");
        }
        *count += 1;
        Ok((member, Beginner { crowd: self.clone(), place }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        // A count is whole after every statement: a panic elsewhere does not spoil it.
        self.beginning.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Beginner {
    fn drop(&mut self) {
        let mut beginning = self.crowd.lock();
        if let Some(count) = beginning.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                beginning.remove(&self.place);
            }
        }
    }
}

/// Who has one IPv6 address has the 2^64 beside it.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_keeps_only_their_own_place_from_connecting() {
        let crowd = Crowd::new();
        let enter = |address: &str| crowd.enter(address.parse().expect("an address")).ok();
        let mut silent: Vec<_> = (0..BEGINNING).map(|_| enter("2001:db8::1").expect("a place")).collect();
        assert!(enter("2001:db8::2").is_none());
        assert!(enter("2001:db8:0:1::1").is_some() && enter("192.0.2.1").is_some());
        silent.pop();
        let (_member, beginner) = enter("2001:db8::2").expect("one has gone");
        drop((silent, beginner));
        assert!(crowd.lock().is_empty(), "places are forgotten");
        let all: Vec<_> = (1..ALL).map(|_| enter("192.0.2.1").map(|(member, _)| member).expect("a place")).collect();
        assert!(enter("192.0.2.2").is_none(), "{} are there", all.len() + 1);
    }
}
