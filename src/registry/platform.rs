//! Platforms as image configs and indices name them.

use std::fmt;

use serde::Deserialize;

/// What an image runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// Reads `os/architecture` or `os/architecture/variant`.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let (os, architecture) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Self { os, architecture, variant: parts.next() }
    }

    /// Whether both are the same one: the variant that an architecture has anyway need not be named.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.normal() == other.normal()
    }

    fn normal(&self) -> (&str, &str, &str) {
        let variant = self.variant.as_deref().unwrap_or_default();
        let (architecture, variant) = match (self.architecture.as_str(), variant) {
            ("amd64" | "x86_64", "" | "v1") => ("amd64", ""),
            ("arm64" | "aarch64", "" | "v8" | "8") => ("arm64", ""),
            ("arm" | "armhf", "" | "7") => ("arm", "v7"),
            ("armel", "") => ("arm", "v6"),
            ("i386" | "i686", _) => ("386", ""),
            named => named,
        };
        (&self.os, architecture, variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_that_goes_without_saying_matters_not() {
        let is = |a, b| Platform::parse(a).is(&Platform::parse(b));
        for (a, b) in
            [("linux/amd64", "linux/amd64/v1"), ("linux/arm64/v8", "linux/arm64"), ("linux/arm", "linux/arm/v7")]
        {
            assert!(is(a, b) && is(b, a), "{a} {b}");
        }
        for (a, b) in
            [("linux/amd64", "linux/amd64/v3"), ("linux/arm/v6", "linux/arm/v7"), ("linux/386", "linux/amd64")]
        {
            assert!(!is(a, b) && !is(b, a), "{a} {b}");
        }
        assert!(!is("windows/amd64", "linux/amd64") && !is("", "linux/amd64"));
    }
}
