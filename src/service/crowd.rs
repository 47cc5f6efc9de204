//! How many may be connected by the network, and how many of one place. One that may not is turned away at once: its client
//! goes on to the next agent.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most connections of a listener.
const ALL: usize = 1024;
/// The most of one place: behind a proxy a place is many clients.
const OF_ONE: usize = ALL / 2;
/// The most of one place that have not begun to speak HTTP/2: clients are at it for milliseconds each.
const BEGINNING: usize = 128;

/// The connections of a listener.
pub(super) struct Crowd {
    all: Arc<Semaphore>,
    connected: Count,
    beginning: Count,
}

/// One of them, while it is there.
pub(super) struct Member {
    _one_of_all: OwnedSemaphorePermit,
    _one_of_its_place: Counted,
}

/// One that begins, while it does.
pub(super) type Beginner = Counted;

impl Crowd {
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), connected: Count::default(), beginning: Count::default() }
    }

    /// Takes in who comes from this address. The error says who are too many.
    pub(super) fn enter(&self, address: IpAddr) -> Result<(Member, Beginner), &'static str> {
        let place = place(address);
        let one_of_all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| "too many are connected")?;
        let one_of_its_place = self.connected.enter(place, OF_ONE).ok_or("too many of its address are connected")?;
        let beginner = self.beginning.enter(place, BEGINNING).ok_or("too many of its address say nothing")?;
        Ok((Member { _one_of_all: one_of_all, _one_of_its_place: one_of_its_place }, beginner))
    }
}

/// How many there are of each place; none is without one.
#[derive(Clone, Default)]
struct Count(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One that is counted, until it is dropped.
pub(super) struct Counted {
    count: Count,
    place: IpAddr,
}

impl Count {
    /// One more of this place, where there are fewer than the most.
    fn enter(&self, place: IpAddr, most: usize) -> Option<Counted> {
        let mut counts = self.lock();
        let count = counts.entry(place).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted { count: self.clone(), place })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // A count is whole after every statement: a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.count.lock();
        if let Some(count) = counts.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.place);
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_takes_all_places_takes_those_of_its_own_address() {
        let crowd = Crowd::new();
        let enter = |address: &str| crowd.enter(address.parse().unwrap());
        let mut silent: Vec<_> = (0..BEGINNING).map(|_| enter("2001:db8::1").unwrap()).collect();
        assert!(enter("2001:db8::2").is_err());
        assert!(enter("2001:db8:0:1::1").is_ok() && enter("192.0.2.1").is_ok());
        silent.pop();
        assert!(enter("2001:db8::2").is_ok(), "one has gone");
        drop(silent);
        let connected = |address: &str| enter(address).map(|(member, _)| member);
        let first: Vec<_> = (0..OF_ONE).map(|_| connected("192.0.2.1").unwrap()).collect();
        assert!(connected("192.0.2.1").is_err());
        let second: Vec<_> = (0..OF_ONE).map(|_| connected("192.0.2.2").unwrap()).collect();
        assert!(connected("192.0.2.3").is_err(), "more than all");
        drop((first, second));
        assert!(connected("192.0.2.3").is_ok());
        assert!(crowd.connected.lock().is_empty() && crowd.beginning.lock().is_empty(), "places are forgotten");
    }
}
