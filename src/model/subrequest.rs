//! What a Dockerfile's frontend is asked instead of a build.

/// A question to the frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subrequest {
    /// What a linter says of the Dockerfile.
    Lint,
    /// The build args, secrets and SSH agents of a target.
    Outline,
    /// The stages.
    Targets,
}

/// What the frontend says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// For a person; lines.
    pub text: String,
    /// For a program.
    pub json: String,
    /// The exit code that it stands for: 1 where a linter found something.
    pub status: u32,
}
