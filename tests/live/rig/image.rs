//! What an image is: its config and its root file system, to compare two of them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Engine;

/// An image that an engine holds, without its times.
pub(crate) struct Image {
    config: Value,
    files: BTreeMap<PathBuf, Entry>,
}

impl Image {
    /// Reads an image of this engine.
    pub(crate) fn of(engine: &Engine, image: &str) -> Self {
        Self { config: config(engine, image), files: files(engine, image) }
    }

    /// What a file holds, as a checksum; `None` where there is none.
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        match &self.files.get(Path::new(path))?.content {
            Content::File(checksum) => Some(checksum),
            _ => None,
        }
    }

    /// Whether a file holds this.
    pub(crate) fn holds(&self, path: &str, content: &str) -> bool {
        self.file(path).is_some_and(|checksum| checksum == sum(content.as_bytes()))
    }

    /// How another one differs from it, one line for each difference. Files below `but` may have any content.
    pub(crate) fn differences(&self, other: &Self, but: &str) -> Vec<String> {
        let mut found = Vec::new();
        if self.config != other.config {
            let pretty = |value| serde_json::to_string_pretty(value).unwrap();
            found.push(format!("the config is\n{}\nand should be\n{}", pretty(&other.config), pretty(&self.config)));
        }
        let mut paths: Vec<_> = self.files.keys().chain(other.files.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            let entry = |image: &Self| {
                let content =
                    |entry: &Entry| if path.starts_with(but) { Content::Other } else { entry.content.clone() };
                image.files.get(path).map(|entry| Entry { content: content(entry), ..entry.clone() })
            };
            let (wanted, is) = (entry(self), entry(other));
            if wanted != is {
                found.push(format!("{} is {is:?} and should be {wanted:?}", path.display()));
            }
        }
        found
    }
}

/// The image's config without timestamps and what hangs on them: layers hold times, and inline cache names layers.
fn config(engine: &Engine, image: &str) -> Value {
    let dir = super::scratch();
    let tar = dir.path().join("image.tar");
    engine.docker(&["save", "-o", tar.to_str().unwrap(), image]);
    let member = |name: &str| -> Value {
        let output = Command::new("tar").arg("-xOf").arg(&tar).arg(name).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let mut config = member(member("manifest.json")[0]["Config"].as_str().unwrap());
    let layers = config["rootfs"]["diff_ids"].as_array().unwrap().len();
    config["rootfs"]["diff_ids"] = layers.into();
    let fields = config.as_object_mut().unwrap();
    for name in ["created", "moby.buildkit.cache.v0", "moby.buildkit.buildinfo.v1"] {
        fields.remove(name);
    }
    for entry in config["history"].as_array_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("created");
    }
    config
}

/// Everything about a file but its times.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    links: u64,
    size: u64,
    content: Content,
    /// Extended attributes, as getfattr prints them.
    attributes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    File(Vec<u8>),
    Link(PathBuf),
    Other,
}

/// The root file system of an image.
fn files(engine: &Engine, image: &str) -> BTreeMap<PathBuf, Entry> {
    let dir = super::scratch();
    let (tar, root) = (dir.path().join("root.tar"), dir.path().join("root"));
    let container = engine.docker(&["create", "--network", "none", image, "true"]);
    engine.docker(&["export", "-o", tar.to_str().unwrap(), &container]);
    engine.docker(&["rm", "-v", &container]);
    std::fs::create_dir(&root).unwrap();
    let mut untar = Command::new("tar");
    untar.args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-p", "-xf"]).arg(&tar).arg("-C").arg(&root);
    assert!(untar.status().unwrap().success());
    let mut found = BTreeMap::new();
    walk(&root, &root, &mut found);
    assert!(found.contains_key(Path::new("bin/busybox")));
    found
}

fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, Entry>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let content = if meta.is_file() {
            Content::File(checksum(&path))
        } else if meta.is_symlink() {
            Content::Link(path.read_link().unwrap())
        } else {
            Content::Other
        };
        let entry = Entry {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            links: if meta.is_dir() { 0 } else { meta.nlink() },
            size: if meta.is_dir() { 0 } else { meta.len() },
            content,
            attributes: attributes(&path),
        };
        if meta.is_dir() {
            walk(root, &path, found);
        }
        found.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
    }
}

fn checksum(path: &Path) -> Vec<u8> {
    sum(&std::fs::read(path).unwrap())
}

fn sum(content: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(content).to_vec()
}

fn attributes(path: &Path) -> Vec<u8> {
    let mut getfattr = Command::new("getfattr");
    getfattr.args(["-h", "-d", "-m", "-", "--absolute-names"]).arg(path);
    let printed = getfattr.output().unwrap().stdout;
    // The first line is the file's name, which differs.
    printed.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default().to_vec()
}
