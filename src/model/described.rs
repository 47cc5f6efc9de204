//! What is said of an image beside its layers and its config: annotations and attestations.

use super::{Export, is_platform};

/// A key and a value in an image's manifest or index, or in what describes these elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Where it stands.
    pub of: Annotated,
    /// The platform whose manifest it is for; every one's where it is `None`.
    pub platform: Option<String>,
    /// Its key, such as `org.opencontainers.image.title`.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What can have annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotated {
    /// An image's manifest.
    Manifest,
    /// What an index says of a manifest.
    ManifestDescriptor,
    /// The index of several images.
    Index,
    /// What an archive says of an index.
    IndexDescriptor,
}

impl Annotated {
    const ALL: [Self; 4] = [Self::Manifest, Self::ManifestDescriptor, Self::Index, Self::IndexDescriptor];

    /// As `docker build` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::ManifestDescriptor => "manifest-descriptor",
            Self::Index => "index",
            Self::IndexDescriptor => "index-descriptor",
        }
    }

    /// Reads [`Annotated::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }

    /// Whether it belongs to an index.
    pub fn is_of_index(self) -> bool {
        matches!(self, Self::Index | Self::IndexDescriptor)
    }
}

impl Annotation {
    /// Whether `BuildKit` would take it for one. The error is one line.
    pub fn check(&self) -> Result<(), String> {
        if self.key.is_empty() || self.key.contains(char::is_whitespace) {
            return Err(format!("'{}' is no key of an annotation, such as org.example.key", self.key.escape_debug()));
        }
        match &self.platform {
            Some(_) if self.of.is_of_index() => Err("an index has no platform".to_owned()),
            Some(platform) if !is_platform(platform) => Err(format!("'{platform}' is no platform")),
            _ => Ok(()),
        }
    }
}

/// Whether this option of `BuildKit`'s exporter may be asked for. The error is one line.
pub fn check_export_option(export: Export, option: &str) -> Result<(), String> {
    let known: &[&str] = match export {
        Export::Image | Export::Oci | Export::Docker => {
            &["compression", "compression-level", "force-compression", "oci-mediatypes", "rewrite-timestamp"]
        }
        Export::Tar | Export::Local | Export::CacheOnly => &[],
    };
    if known.contains(&option) {
        return Ok(());
    }
    Err(format!("'{option}' is not known here: {}", [&["type", "dest", "name", "push"], known].concat().join(", ")))
}

/// Whether there is such an attestation, with such parameters (`KEY=VALUE,KEY=VALUE`). The error is one line.
pub fn check_attestation(kind: &str, parameters: &str) -> Result<(), String> {
    if !matches!(kind, "provenance" | "sbom") {
        return Err("an attestation is of type provenance or sbom".to_owned());
    }
    for parameter in parameters.split(',').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            None | Some(("", _)) => return Err("a parameter of an attestation is KEY=VALUE".to_owned()),
            Some(("mode", mode)) if kind == "provenance" && !matches!(mode, "min" | "max") => {
                return Err("the modes of provenance are min and max".to_owned());
            }
            Some(("generator", "")) => return Err("a generator is an image".to_owned()),
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_buildkit_would_pass_over_is_refused() {
        let annotation = |of, platform: Option<&str>, key: &str| Annotation {
            of,
            platform: platform.map(str::to_owned),
            key: key.to_owned(),
            value: String::new(),
        };
        assert!(annotation(Annotated::Manifest, Some("linux/amd64"), "org.example.a").check().is_ok());
        for odd in [
            annotation(Annotated::Manifest, None, ""),
            annotation(Annotated::Manifest, None, "two words"),
            annotation(Annotated::Manifest, Some("a/b/c/d"), "k"),
            annotation(Annotated::Index, Some("linux/amd64"), "k"),
        ] {
            assert!(odd.check().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn attestations_are_those_that_buildkit_makes() {
        for (kind, parameters) in
            [("provenance", ""), ("provenance", "mode=max,version=v1"), ("sbom", "generator=r.example/scanner:1")]
        {
            assert_eq!(check_attestation(kind, parameters), Ok(()), "{kind} {parameters}");
        }
        for (kind, parameters) in
            [("", ""), ("vex", ""), ("provenance", "mode=most"), ("provenance", "max"), ("sbom", "generator=")]
        {
            assert!(check_attestation(kind, parameters).is_err(), "{kind} {parameters}");
        }
    }
}
