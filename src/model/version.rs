//! An engine's version.

use std::{fmt, str::FromStr};

/// Three numbers, such as 20.10.24. What follows them, as in `28.5.2+dfsg4` or `26.1-dind`, means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EngineVersion(pub u32, pub u32, pub u32);

/// A text that begins with no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no version of Docker; write it such as 28 or 20.10.24")]
pub struct InvalidVersion(String);

impl EngineVersion {
    /// The oldest that the agent works with.
    pub const OLDEST: Self = Self(20, 10, 0);
}

impl FromStr for EngineVersion {
    type Err = InvalidVersion;

    /// Numbers that are missing are 0.
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        let end = bare.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(bare.len());
        let mut numbers = bare[..end].split('.').map(|number| number.parse().ok());
        let major = numbers.next().flatten().ok_or_else(|| InvalidVersion(text.to_owned()))?;
        let mut next = || numbers.next().flatten().unwrap_or(0);
        Ok(Self(major, next(), next()))
    }
}

impl fmt::Display for EngineVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn versions_are_read_as_engines_and_images_write_them() {
        for (text, version) in [
            ("20.10.24+dfsg1", EngineVersion(20, 10, 24)),
            ("28", EngineVersion(28, 0, 0)),
            ("v26.1-dind", EngineVersion(26, 1, 0)),
            ("29.0.0-rc.1", EngineVersion(29, 0, 0)),
        ] {
            assert_eq!(text.parse(), Ok(version), "{text}");
        }
        for odd in ["", "latest", "v", ".1", "99999999999"] {
            assert!(odd.parse::<EngineVersion>().is_err(), "{odd}");
        }
        assert!("20.10.4".parse::<EngineVersion>().unwrap() < "20.10.24".parse().unwrap());
    }
}
