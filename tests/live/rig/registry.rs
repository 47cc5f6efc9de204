//! A real registry, started by tests/lib/registry.sh.

use std::process::Command;

use tempfile::TempDir;

use super::TokenService;

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

    /// A registry that wants tokens of this service, and holds nothing.
    pub(crate) fn start_with_tokens(service: &TokenService) -> Self {
        Self::empty(&["token", &service.realm, service.certificate()], None)
    }

    fn start_with(args: &[&str], user: Option<&'static str>) -> Self {
        let registry = Self::empty(args, user);
        registry.seed_base();
        registry
    }

    fn empty(args: &[&str], user: Option<&'static str>) -> Self {
        let dir = super::scratch();
        let path = dir.path().to_str().unwrap();
        let host = super::script("registry.sh", &[&["start", path], args].concat());
        Self { host, user, dir }
    }

    /// Puts the image `base:1` there, in the place of whatever has that name.
    pub(crate) fn seed_base(&self) {
        let tar = super::live_dir().join("base.tar.gz");
        let seed = ["seed", &self.host, "base:1", tar.to_str().unwrap()];
        super::script("registry.sh", &[&seed[..], self.user.as_slice()].concat());
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

    /// The requests that it has answered, in their order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let log = std::fs::read_to_string(self.dir.path().join("registry.log")).unwrap();
        log.lines().filter_map(Request::parse).collect()
    }

    /// Puts another image in the place of `base:1`: the same, and a file `/etc/moved` with this text.
    pub(crate) fn move_base(&self, text: &str) {
        let dir = super::scratch();
        let tar = dir.path().join("base.tar");
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/moved"), text).unwrap();
        let base = super::live_dir().join("base.tar.gz");
        let add =
            "gzip -dc \"$1\" >\"$2\" && tar --owner=0 --group=0 -rf \"$2\" -C \"$3\" ./etc/moved && gzip -n \"$2\"";
        let status = Command::new("sh").args(["-ec", add, "sh"]).arg(base).arg(&tar).arg(dir.path()).status();
        assert!(status.unwrap().success());
        super::script("registry.sh", &["seed", &self.host, "base:1", dir.path().join("base.tar.gz").to_str().unwrap()]);
    }

    pub(super) fn curl(&self, args: &[&str], path: &str) -> String {
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

/// A request that a registry has answered.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    /// Of the answer's body.
    pub(crate) bytes: u64,
}

impl Request {
    /// `127.0.0.1 - - [time] "GET /v2/app/manifests/1 HTTP/1.1" 200 1234 "" "agent"`
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split('"');
        let (_, request, answer) = (parts.next()?, parts.next()?, parts.next()?);
        let (method, path) = request.strip_suffix(" HTTP/1.1")?.split_once(' ')?;
        let mut numbers = answer.split_whitespace();
        let (status, bytes) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some(Self { method: method.to_owned(), path: path.to_owned(), status, bytes })
    }
}
