//! The places where cache images are being written: two builds of one scope give the engine's store the same name.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::model::Reference;

/// Has the builds of one agent write to a place one after the other.
#[derive(Default)]
pub(super) struct Places {
    turns: Mutex<HashMap<Reference, Weak<Turn<()>>>>,
}

impl Places {
    /// Waits until nobody else writes there, and keeps others from it.
    pub(super) async fn alone_at(&self, place: &Reference) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(place).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::new(Turn::new(()));
                turns.insert(place.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}
