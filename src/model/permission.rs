//! What a caller may do, in the words of Kubernetes' RBAC.

use std::fmt;

/// The API group of the resources. They exist in rules alone: the API server keeps no such objects.
pub const API_GROUP: &str = "remora.dev";

/// Something that a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Build and plan, and lend a session.
    Build,
    /// See the builds that run.
    List,
    /// End a build, whoever began it.
    Cancel,
    /// Push what the engine holds, or what a build makes.
    Push,
    /// Free disk space of the engine.
    Prune,
    /// See the engine, its disk, and what it can do.
    Inspect,
}

impl Permission {
    /// The resource of the API group [`API_GROUP`].
    pub fn resource(self) -> &'static str {
        match self {
            Self::Build | Self::List | Self::Cancel => "builds",
            Self::Push => "pushes",
            Self::Prune => "prunes",
            Self::Inspect => "engines",
        }
    }

    /// The verb.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Build | Self::Push | Self::Prune => "create",
            Self::List => "list",
            Self::Cancel => "delete",
            Self::Inspect => "get",
        }
    }
}

/// As `create builds.remora.dev`.
impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{API_GROUP}", self.verb(), self.resource())
    }
}
