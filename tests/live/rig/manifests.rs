//! What lies in a registry, to look at and to exchange.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::Digest;

use super::Registry;

/// A manifest as a registry gives it.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) json: Value,
    pub(crate) digest: String,
    size: usize,
}

impl Manifest {
    pub(crate) fn media_type(&self) -> &str {
        self.json["mediaType"].as_str().expect("a media type")
    }

    pub(crate) fn layers(&self) -> Vec<String> {
        let layers = self.json["layers"].as_array().expect("layers");
        layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
    }
}

/// All of a registry without credentials.
impl Registry {
    /// The tags of a repository.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let list: Value = serde_json::from_str(&self.curl(&[], &format!("{repository}/tags/list"))).unwrap();
        let mut tags: Vec<_> =
            list["tags"].as_array().into_iter().flatten().map(|tag| tag.as_str().unwrap().to_owned()).collect();
        tags.sort_unstable();
        tags
    }

    pub(crate) fn manifest(&self, repository: &str, tag: &str) -> Manifest {
        let text = self.curl(&[], &format!("{repository}/manifests/{tag}"));
        Manifest { digest: sha256(text.as_bytes()), size: text.len(), json: serde_json::from_str(&text).expect(&text) }
    }

    /// The config of an image.
    pub(crate) fn config(&self, repository: &str, manifest: &Manifest) -> Value {
        self.blob(repository, manifest.json["config"]["digest"].as_str().unwrap())
    }

    /// A blob of JSON.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Value {
        serde_json::from_str(&self.curl(&[], &format!("{repository}/blobs/{digest}"))).unwrap()
    }

    /// Puts an image in the place of this tag: that of `manifest` with another config and these layers of it.
    pub(crate) fn put_image(&self, repository: &str, tag: &str, manifest: &Manifest, config: &Value, layers: &[Value]) {
        let mut manifest = manifest.json.clone();
        let config = config.to_string();
        manifest["config"]["digest"] = self.put_blob(repository, config.as_bytes()).into();
        manifest["config"]["size"] = config.len().into();
        manifest["layers"] = layers.into();
        self.put_manifest(repository, tag, &manifest);
    }

    /// Puts an index of these images, each with its platform, in the place of this tag.
    pub(crate) fn put_index(&self, repository: &str, tag: &str, images: &[(&Manifest, &str)]) {
        let images = images.iter().map(|(image, architecture)| {
            json!({ "mediaType": image.media_type(), "digest": image.digest, "size": image.size,
                "platform": { "os": "linux", "architecture": architecture } })
        });
        let kind = "application/vnd.docker.distribution.manifest.list.v2+json";
        let images: Vec<_> = images.collect();
        self.put_manifest(repository, tag, &json!({ "schemaVersion": 2, "mediaType": kind, "manifests": images }));
    }

    pub(crate) fn put_manifest(&self, repository: &str, tag: &str, manifest: &Value) {
        let kind = format!("Content-Type: {}", manifest["mediaType"].as_str().unwrap());
        let path = format!("{repository}/manifests/{tag}");
        self.send(&["-X", "PUT", "-H", &kind], &path, manifest.to_string().as_bytes());
    }

    /// Puts a blob, and gives its digest.
    pub(crate) fn put_blob(&self, repository: &str, content: &[u8]) -> String {
        let digest = sha256(content);
        let headers = self.curl(&["-X", "POST", "-D", "-"], &format!("{repository}/blobs/uploads/"));
        let find = |line: &str| line.to_ascii_lowercase().starts_with("location:").then(|| line[9..].trim().to_owned());
        let location = headers.lines().find_map(find).expect("a place to upload to");
        let (_, path) = location.split_once("/v2/").unwrap();
        let octets = "Content-Type: application/octet-stream";
        self.send(&["-X", "PUT", "-H", octets], &format!("{path}&digest={digest}"), content);
        digest
    }

    /// Gives the blobs of an image to another repository.
    pub(crate) fn put_blob_of(&self, manifest: &Manifest, from: &str, to: &str) {
        let config = manifest.json["config"]["digest"].as_str().unwrap().to_owned();
        for digest in manifest.layers().into_iter().chain([config]) {
            self.curl(&["-X", "POST"], &format!("{to}/blobs/uploads/?mount={digest}&from={from}"));
        }
    }

    /// Deletes a manifest, and with it all its tags.
    pub(crate) fn delete(&self, repository: &str, digest: &str) {
        self.curl(&["-X", "DELETE"], &format!("{repository}/manifests/{digest}"));
    }

    /// Loses a blob.
    pub(crate) fn delete_blob(&self, repository: &str, digest: &str) {
        self.curl(&["-X", "DELETE"], &format!("{repository}/blobs/{digest}"));
    }

    fn send(&self, args: &[&str], path: &str, body: &[u8]) {
        let url = format!("http://{}/v2/{path}", self.host);
        let mut curl = Command::new("curl");
        curl.args(["-sSf"]).args(args).args(["--data-binary", "@-", &url]).stdin(Stdio::piped());
        let mut curl = curl.spawn().unwrap();
        curl.stdin.take().unwrap().write_all(body).unwrap();
        assert!(curl.wait().unwrap().success(), "PUT {url}");
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |digest, byte| digest + &format!("{byte:02x}"))
}
