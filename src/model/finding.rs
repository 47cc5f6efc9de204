//! What a look at the agent's surroundings came to.

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be, or it cannot be told from here.
    Ok,
    /// Builds work, and some of them not as they could.
    Warning,
    /// Builds fail, hang or are slow for it, or the engine is open to strangers.
    Error,
}

impl Level {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at, in one word such as `network`.
    pub about: String,
    /// What was found, one line.
    pub what: String,
    /// What to do about it, one line; empty where nothing needs to be done.
    pub next: String,
}

impl Finding {
    /// All is well.
    pub fn ok(about: &str, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, about: about.to_owned(), what: what.into(), next: String::new() }
    }

    /// Something could be better.
    pub fn warning(about: &str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Warning, about: about.to_owned(), what: what.into(), next: next.into() }
    }

    /// Something is wrong.
    pub fn error(about: &str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Error, ..Self::warning(about, what, next) }
    }
}
