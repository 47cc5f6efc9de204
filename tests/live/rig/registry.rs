//! A real registry, started by tests/lib/registry.sh.

use std::process::Command;

use tempfile::TempDir;

/// A registry on loopback that holds an image `base:1`, a `BusyBox`. Ends with this value.
pub(crate) struct Registry {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    user: Option<&'static str>,
    dir: TempDir,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::start_with(&[], None)
    }

    /// A registry that wants the credentials of [`Registry::docker_config`].
    pub(crate) fn start_with_auth() -> Self {
        let registry = Self::start_with(&["auth"], Some("remora:s3cret"));
        assert!(registry.head("base", "1").is_none(), "the registry lets anybody in");
        registry
    }

    fn start_with(args: &[&str], user: Option<&'static str>) -> Self {
        let dir = super::scratch();
        let path = dir.path().to_str().unwrap();
        let host = super::script("registry.sh", &[&["start", path], args].concat());
        let tar = super::live_dir().join("base.tar.gz");
        let seed = ["seed", &host, "base:1", tar.to_str().unwrap()];
        super::script("registry.sh", &[&seed[..], user.as_slice()].concat());
        Self { host, user, dir }
    }

    /// Ends the registry; what it holds stays.
    pub(crate) fn stop(&self) {
        super::script("registry.sh", &["stop", self.dir.path().to_str().unwrap()]);
    }

    /// A reference in this registry.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    /// Digest of the manifest that a tag names, without credentials.
    pub(crate) fn head(&self, repository: &str, tag: &str) -> Option<String> {
        let headers = self.curl(&["-I"], &format!("{repository}/manifests/{tag}"));
        let digest = headers.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("docker-content-digest").then(|| value.trim().to_owned())
        });
        headers.lines().next()?.contains(" 200").then_some(digest).flatten()
    }

    /// The same, with credentials where the registry wants them.
    pub(crate) fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let Some(user) = self.user else { return self.head(repository, tag) };
        let headers = self.curl(&["-I", "-u", user], &format!("{repository}/manifests/{tag}"));
        headers.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("docker-content-digest:").map(|d| d.trim().to_owned())
        })
    }

    /// A directory with a Docker `config.json` that lets one in.
    pub(crate) fn docker_config(&self) -> TempDir {
        let dir = super::scratch();
        // base64 of remora:s3cret
        let config = serde_json::json!({"auths": {&self.host: {"auth": "cmVtb3JhOnMzY3JldA=="}}});
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        dir
    }

    fn curl(&self, args: &[&str], path: &str) -> String {
        // Every manifest type: a registry translates into an old schema where the newer are not accepted.
        let accept = "Accept: application/vnd.docker.distribution.manifest.v2+json, \
            application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
            application/vnd.oci.image.index.v1+json";
        let url = format!("http://{}/v2/{path}", self.host);
        let output = Command::new("curl").args(["-s", "-H", accept]).args(args).arg(url).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}
