//! `--build-context NAME=VALUE`: what else a Dockerfile may copy from, mount and build upon, by name.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{context, usage};
use crate::{
    model::{ContextKind, Failure, Reference},
    session::Layout,
};

/// Further contexts, and what is lent for them.
#[derive(Default)]
pub(super) struct Named {
    /// By name, what the engine is told.
    pub(super) values: BTreeMap<String, String>,
    /// Directories, by the names that the engine asks for.
    pub(super) directories: BTreeMap<String, PathBuf>,
    /// Images in the layout of OCI, likewise.
    pub(super) layouts: BTreeMap<String, Layout>,
}

/// Where an image lies in the layout of OCI.
const LAYOUT: &str = "oci-layout://";
const IMAGE: &str = "docker-image://";

impl Named {
    /// Finds what was named.
    pub(super) fn find(contexts: Vec<(String, String)>) -> Result<Self, Failure> {
        let mut named = Self::default();
        for (name, value) in contexts {
            let told = named
                .one(&name, value)
                .map_err(|failure| Failure { what: format!("--build-context {name}: {}", failure.what), ..failure })?;
            named.values.insert(name, told);
        }
        Ok(named)
    }

    /// BuildKit of 0.24 and some later ones take every URL for git, and say no more than that.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let of_url = |(_, value): &(&String, &String)| ContextKind::of(value, false) == ContextKind::Url;
        match self.values.iter().find(of_url) {
            Some((name, _)) if failure.what.ends_with("invalid argument") => Failure {
                what: format!("--build-context {name}: this engine's BuildKit takes no URL but that of git"),
                next: "download it and name its directory, or have the Dockerfile ADD it".to_owned(),
                ..failure
            },
            _ => failure,
        }
    }

    /// What the engine is told of one.
    fn one(&mut self, name: &str, value: String) -> Result<String, Failure> {
        if let Some(image) = value.strip_prefix(IMAGE) {
            let parsed = image.parse::<Reference>().map(drop).or(if image == "scratch" { Ok(()) } else { Err(()) });
            return parsed.map(|()| value.clone()).map_err(|()| {
                usage(format!("{value} names no image")).next("name it as docker-image://REGISTRY/NAME:TAG")
            });
        }
        if let Some(place) = value.strip_prefix(LAYOUT) {
            let (path, digest) = image_in_layout(place)?;
            let layout = Layout::open(path).map_err(|error| usage(format!("{}: {error}", path.display())))?;
            // A name of ours: the engine knows no paths.
            let store = format!("layout{}", self.layouts.len());
            self.layouts.insert(store.clone(), layout);
            return Ok(format!("{LAYOUT}{store}@{digest}"));
        }
        let path = Path::new(&value);
        if ContextKind::of(&value, path.is_dir()).is_remote() {
            return Ok(value);
        }
        if value
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
        {
            return Err(usage(format!("{value} is nothing that is known"))
                .next("name a directory, a URL, docker-image://IMAGE or oci-layout://DIRECTORY"));
        }
        let full = context::readable(path)
            .map_err(|error| usage(format!("{value}: {error}")).next("name a directory that you may read"))?;
        // These two names are taken, and so are those that stand for them.
        let taken = ["context", "dockerfile"].contains(&name.trim_start_matches('_'));
        let lent = if taken { format!("_{name}") } else { name.to_owned() };
        self.directories.insert(lent.clone(), full);
        Ok(format!("local:{lent}"))
    }
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Entry {
    fn tag(&self) -> Option<&str> {
        self.annotations.get("org.opencontainers.image.ref.name").map(String::as_str)
    }
}

/// The directory of `DIRECTORY[:TAG][@DIGEST]`, and the image's digest.
fn image_in_layout(place: &str) -> Result<(&Path, String), Failure> {
    let (place, digest) = match place.rsplit_once('@') {
        Some((place, digest)) if is_digest(digest) => (place, Some(digest.to_owned())),
        _ => (place, None),
    };
    let (path, tag) = match place.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (Path::new(path), Some(tag)),
        _ => (Path::new(place), None),
    };
    let file = path.join("index.json");
    let problem = |error: &dyn std::fmt::Display| {
        usage(format!("{}: {error}", file.display()))
            .next("name a directory in the layout of OCI, as `remora build -o type=oci` writes it, unpacked")
    };
    let text = std::fs::read(&file).map_err(|e| problem(&e))?;
    if let Some(digest) = digest {
        return Ok((path, digest));
    }
    let index: Index = serde_json::from_slice(&text).map_err(|e| problem(&e))?;
    let wanted = tag.unwrap_or("latest");
    let entry = match index.manifests.as_slice() {
        [only] if tag.is_none() => Some(only),
        all => all.iter().find(|entry| entry.tag() == Some(wanted)),
    };
    let entry = entry.filter(|entry| is_digest(&entry.digest)).ok_or_else(|| {
        let tags: Vec<_> = index.manifests.iter().filter_map(Entry::tag).collect();
        problem(&format!("it has no image {wanted}, but: {}", tags.join(", ")))
    })?;
    Ok((path, entry.digest.clone()))
}

fn is_digest(text: &str) -> bool {
    format!("a@{text}").parse::<Reference>().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn find(value: &str) -> Result<Named, Failure> {
        Named::find(vec![("a".to_owned(), value.to_owned())])
    }

    #[test]
    fn what_is_lent_and_what_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        assert_eq!(find(path).unwrap().values["a"], "local:a");
        let named = Named::find(vec![("context".to_owned(), path.to_owned())]).unwrap();
        assert_eq!(named.values["context"], "local:_context", "the build context itself has that name");
        assert!(named.directories.contains_key("_context"));
        let both = ["context", "_context"].map(|name| (name.to_owned(), path.to_owned()));
        assert_eq!(Named::find(both.to_vec()).unwrap().directories.len(), 2, "one would be lent as the other");
        for value in ["docker-image://scratch", "docker-image://r.example/a:1", "https://h.example/a.git#b", "git@h:a"]
        {
            let named = find(value).unwrap();
            assert_eq!(named.values["a"], value);
            assert!(named.directories.is_empty());
        }
        for value in ["", "/no/such/directory", "/etc/passwd", "docker-image://UPPER", "ftp://h.example/a", "target:b"]
        {
            let failure = find(value).err().unwrap();
            assert!(failure.what.starts_with("--build-context a: "), "{failure:?}");
            assert!(!failure.next.is_empty());
        }
    }

    #[test]
    fn the_image_of_a_layout_is_the_one_that_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        let value = |rest: &str| find(&format!("oci-layout://{path}{rest}")).map(|named| named.values["a"].clone());
        assert!(value("").unwrap_err().what.contains("index.json"));
        let write = |text: &str| std::fs::write(dir.path().join("index.json"), text).unwrap();
        write("{");
        assert!(value("").unwrap_err().what.contains("index.json"));
        write(&format!(r#"{{"manifests": [{{"digest": "{}"}}]}}"#, digest("a")));
        assert_eq!(value("").unwrap(), format!("oci-layout://layout0@{}", digest("a")));
        assert!(value(":v1").is_err(), "another image is not what was asked for");
        let entry = |tag: &str, letter: &str| {
            format!(
                r#"{{"digest": "{}", "annotations": {{"org.opencontainers.image.ref.name": "{tag}"}}}}"#,
                digest(letter)
            )
        };
        write(&format!(r#"{{"manifests": [{}, {}]}}"#, entry("v1", "b"), entry("latest", "c")));
        assert_eq!(value(":v1").unwrap(), format!("oci-layout://layout0@{}", digest("b")));
        assert_eq!(value("").unwrap(), format!("oci-layout://layout0@{}", digest("c")));
        assert!(value(":v2").unwrap_err().what.contains("v1, latest"));
        assert_eq!(value(&format!("@{}", digest("d"))).unwrap(), format!("oci-layout://layout0@{}", digest("d")));
    }
}
