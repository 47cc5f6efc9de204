//! Image references, read and completed as Docker does it (the grammar of github.com/distribution/reference).

use std::{fmt, str::FromStr};

/// The registry that a reference without one means.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that a reference without tag and digest means.
const DEFAULT_TAG: &str = "latest";
const LONGEST_REPOSITORY: usize = 255;

/// An image reference, completed: `app` is `docker.io/library/app:latest`. It has a tag, a digest, or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid image reference '{text}': {problem}")]
pub struct InvalidReference {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Reference {
    /// Host of the registry, with its port: `docker.io` for Docker Hub.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path within the registry, such as `library/app`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The tag; `latest` where none is given.
    pub fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or(DEFAULT_TAG)
    }

    /// The digest, if the reference has one.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// As short as a person writes it: without Docker Hub's host, without `library` and without `:latest`.
    pub fn familiar(&self) -> String {
        let text = self.to_string();
        let short = text.strip_prefix("docker.io/").unwrap_or(&text);
        let short = short.strip_prefix("library/").filter(|_| self.is_official()).unwrap_or(short);
        short.strip_suffix(":latest").unwrap_or(short).to_owned()
    }

    /// Whether this names Docker Hub's official images, as a bare `app` does: nobody's own repository.
    pub fn is_official(&self) -> bool {
        self.registry == DEFAULT_REGISTRY && self.repository.starts_with("library/")
    }

    /// The same repository under another tag. `tag` must be a valid one.
    #[must_use]
    pub fn with_tag(&self, tag: &str) -> Self {
        Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() }
    }

    /// The same repository by digest, without a tag. `digest` must be a valid one.
    #[must_use]
    pub fn with_digest(&self, digest: &str) -> Self {
        Self { tag: None, digest: Some(digest.to_owned()), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match (&self.tag, &self.digest) {
            (None, None) => Ok(()),
            (Some(tag), None) => write!(f, ":{tag}"),
            (None, Some(digest)) => write!(f, "@{digest}"),
            (Some(tag), Some(digest)) => write!(f, ":{tag}@{digest}"),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let fail = |problem| InvalidReference { text: text.to_owned(), problem };
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(fail("64 hexadecimal digits are an image id, not a name"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if name.is_empty() || name.starts_with(':') {
            return Err(fail("the repository is missing: it may come from a variable that is empty"));
        }
        if has_slash_in_tag(name) {
            return Err(fail(
                "a tag holds no '/': for a branch use what the CI makes of its name, such as CI_COMMIT_REF_SLUG",
            ));
        }
        let (registry, repository) = split_registry(name);
        if repository.is_empty() {
            return Err(fail("the repository is empty"));
        }
        if registry != DEFAULT_REGISTRY && !is_registry(registry) {
            return Err(fail("the registry is no host name"));
        }
        if repository.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(fail("the repository must be lowercase"));
        }
        if !repository.split('/').all(is_path_component) {
            return Err(fail("the repository may hold a-z, 0-9, '/' and single separators '.', '_', '-' between them"));
        }
        let repository = match (registry, repository.contains('/')) {
            (DEFAULT_REGISTRY, false) => format!("library/{repository}"),
            _ => repository.to_owned(),
        };
        if repository.len() > LONGEST_REPOSITORY {
            return Err(fail("the repository is longer than 255 characters"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(fail(
                "a tag holds 1 to 128 of A-Z, a-z, 0-9, '_', '.', '-' and starts with none of the last two",
            ));
        }
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(fail(
                "a digest is sha256, sha384 or sha512, a colon and all lowercase hexadecimal digits of it",
            ));
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            // As Docker does it: a name alone means its latest, so that `app` and `app:latest` are equal.
            tag: tag.or(if digest.is_none() { Some(DEFAULT_TAG) } else { None }).map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

/// Whether what follows a colon is no port, and so was meant as a tag: `app:feature/x`, `r.example:5000/app:feature/x`.
fn has_slash_in_tag(name: &str) -> bool {
    let Some((before, after)) = name.rsplit_once(':') else { return false };
    let first = after.split('/').next().unwrap_or(after);
    let is_port = !before.contains('/') && first.bytes().all(|b| b.is_ascii_digit());
    !before.starts_with('[') && !is_port && is_tag(first)
}

/// The first component is a registry where it looks like a host: a dot, a colon, `localhost` or an uppercase letter.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((host, rest))
            if host.contains(['.', ':']) || host == "localhost" || host.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            // Docker Hub's old name.
            (if host == "index.docker.io" { DEFAULT_REGISTRY } else { host }, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn is_registry(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let name_ok = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        // The grammar leaves out zones and embedded IPv4 addresses.
        Some(v6) => !v6.contains('.') && v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        }),
    };
    name_ok && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_path_component(part: &str) -> bool {
    let is_alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    if !bytes.first().copied().is_some_and(is_alnum) || !bytes.last().copied().is_some_and(is_alnum) {
        return false;
    }
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

/// The algorithms that Docker and BuildKit know; the grammar alone would take others.
fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(is_lower_hex)
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests;
