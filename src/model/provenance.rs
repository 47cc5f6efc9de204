//! How much is told of how a build came about.

/// How much of a build's provenance is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// What was asked for, and what the build took.
    Min,
    /// Every step as well, and when they ran.
    Max,
}
