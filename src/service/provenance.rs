//! How a build came about, for who asked for it.

use std::collections::BTreeMap;

use super::build::Run;
use crate::{engine::Solver, model::Report};

impl Run<'_> {
    /// Adds what the engine recorded of the solve of this id. What was published as it lies in the registry was not made,
    /// and has no record.
    pub(super) async fn with_provenance(&self, solver: &Solver, id: &str, report: Report) -> Report {
        let Some(detail) = self.request.provenance.filter(|_| !report.republished()) else { return report };
        let provenance = match solver.provenance(id, detail).await {
            Ok(found) => found.into_iter().map(|(platform, predicate)| (platform, predicate.to_string())).collect(),
            // The build worked.
            Err(fault) => {
                let text = format!("the engine does not tell the build's provenance: {}", solver.words(&fault));
                self.notice(true, text).await;
                BTreeMap::new()
            }
        };
        Report { provenance, ..report }
    }
}
