//! Unites the caches that were found before a build, so that it imports all of them as one.

use super::{build::Run, merge::of_known, prepare::Prepared};
use crate::{
    digest::sha256,
    model::{Failure, FailureKind, Reference},
    strategy,
};

impl Run<'_> {
    /// What the build imports: all that was found, as one manifest that lies under no tag, or such as do not stand in
    /// one another's way. It takes no longer than what is left of the deadline for all questions to registries.
    pub(super) async fn unite(&self, prepared: &Prepared) -> Vec<(Reference, bool)> {
        let cache = &prepared.plan.cache;
        let Some((first, _)) = cache.several.first() else { return cache.imports.clone() };
        let united = match tokio::time::timeout_at(prepared.probed.until, self.united(prepared, first)).await {
            Ok(united) => united,
            Err(_) => Err(Failure::new(FailureKind::Registry, "the deadline is over")),
        };
        match united {
            Ok(Some(digest)) => cache.united(&digest),
            Ok(None) => cache.imports.clone(),
            Err(failure) => {
                let text = format!(
                    "cache: {} could not unite what was found, one scope's is read: {}",
                    first.name(),
                    failure.what
                );
                self.notice(true, text).await;
                cache.imports.clone()
            }
        }
    }

    /// Digest of the one that was made of several; `None` where nothing can be made of them.
    async fn united(&self, prepared: &Prepared, first: &Reference) -> Result<Option<String>, Failure> {
        let digests = prepared.plan.cache.several.iter().filter_map(|(reference, _)| reference.digest());
        let read = self.with_configs(prepared, digests, first).await?;
        let several: Vec<_> = read.iter().filter_map(of_known).collect();
        let Some(united) = strategy::unite(&several, strategy::form(self.capabilities)) else {
            tracing::debug!(build = self.id, "the caches that were found cannot be one");
            return Ok(None);
        };
        let digest = sha256(&united.manifest);
        let done = self.publish_cache(united, &first.with_digest(&digest)).await?;
        Ok(done.then_some(digest))
    }
}
