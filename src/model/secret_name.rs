//! The name of a secret in a cluster.

use std::str::FromStr;

/// `[NAMESPACE/]NAME`, as Kubernetes has names (RFC 1123).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    /// Where it is; `None` is the agent's own namespace.
    pub namespace: Option<String>,
    /// Its name there.
    pub name: String,
}

impl FromStr for SecretName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |name: &str| {
            let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
            name.len() <= 253 && name.chars().all(inside) && ends(name.chars().next()) && ends(name.chars().last())
        };
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        if !is_name(name) || namespace.is_some_and(|namespace| !is_name(namespace)) {
            return Err(format!("'{text}' is no secret: write NAME or NAMESPACE/NAME"));
        }
        Ok(Self { namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_is_named_with_or_without_its_namespace() {
        let name = |text: &str| text.parse::<SecretName>();
        assert_eq!(name("ci/pull").unwrap().namespace.as_deref(), Some("ci"));
        assert_eq!(name("pull.2").unwrap().name, "pull.2");
        for odd in ["", "/", "a/", "/a", "a/b/c", "A", "-a", "../x", "a b"] {
            assert!(name(odd).is_err(), "{odd}");
        }
    }
}
