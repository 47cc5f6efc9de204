//! The builds that run.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::{model::Reference, pb};

#[derive(Clone, Default)]
pub(super) struct Builds {
    running: Arc<Mutex<BTreeMap<String, Running>>>,
}

struct Running {
    tags: Vec<String>,
    since: Instant,
}

/// Takes its build off the list when it is dropped.
pub(super) struct Entry {
    builds: Builds,
    id: String,
}

impl Builds {
    pub(super) fn enter(&self, id: &str, tags: &[Reference]) -> Entry {
        let running = Running { tags: tags.iter().map(Reference::to_string).collect(), since: Instant::now() };
        self.lock().insert(id.to_owned(), running);
        Entry { builds: self.clone(), id: id.to_owned() }
    }

    pub(super) fn list(&self) -> Vec<pb::RunningBuild> {
        let build = |(id, running): (&String, &Running)| pb::RunningBuild {
            id: id.clone(),
            tags: running.tags.clone(),
            running_ms: running.since.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        };
        self.lock().iter().map(build).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Running>> {
        // The map is whole after every statement: a panic elsewhere does not spoil it.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.builds.lock().remove(&self.id);
    }
}
