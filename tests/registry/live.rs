//! Debian's `docker-registry`, one for each test, on a port and with a root of its own.

use std::{
    fmt::Write as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::{Client, Method, Response, header};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

pub(crate) const PASSWORD: &str = "wonder-land";
/// alice and [`PASSWORD`], as `htpasswd -B` writes it.
const HTPASSWD: &str = "alice:$2b$05$abcdefghijklmnopqrstuuQAxP.4EvgFrN7KwEDh/4qWFUMuO1Wni\n";

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Login {
    None,
    Password,
}

pub(crate) struct Live {
    pub(crate) host: String,
    login: Login,
    process: Child,
    _root: TempDir,
}

impl Live {
    /// `None`, loudly, only where live tests are not wanted.
    pub(crate) async fn start(login: Login) -> Option<Self> {
        if std::env::var_os("REMORA_SKIP_LIVE").is_some_and(|v| v == "1") {
            eprintln!("SKIPPED: no registry is started, since REMORA_SKIP_LIVE=1");
            return None;
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = TempDir::new().unwrap();
        let path = root.path().display();
        let host = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {path}/data}}}}\nhttp: {{addr: '{host}'}}\n"
        );
        if login == Login::Password {
            let _ = writeln!(config, "auth: {{htpasswd: {{realm: test, path: {path}/htpasswd}}}}");
            std::fs::write(root.path().join("htpasswd"), HTPASSWD).unwrap();
        }
        std::fs::write(root.path().join("config.yml"), config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(root.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry runs; `apt-get install docker-registry`, or set REMORA_SKIP_LIVE=1");
        let live = Self { host, login, process, _root: root };
        for _ in 0..200 {
            if TcpStream::connect(&live.host).await.is_ok() {
                return Some(live);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("docker-registry does not listen on {}", live.host)
    }

    async fn request(&self, method: Method, path: &str, content_type: &str, body: Vec<u8>) -> Response {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("http://{}{path}", self.host) };
        let accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, \
             application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json";
        let client = Client::builder().no_proxy().build().unwrap();
        let mut request = client.request(method, url).header(header::ACCEPT, accept);
        if self.login == Login::Password {
            request = request.basic_auth("alice", Some(PASSWORD));
        }
        let response = request.header(header::CONTENT_TYPE, content_type).body(body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response
    }

    /// Some manifest or index that the registry takes in every repository, ending in `space`.
    pub(crate) fn manifest(media_type: &str, space: &str) -> String {
        if media_type.contains("list") || media_type.contains("index") {
            return format!(r#"{{"schemaVersion":2,  "mediaType":"{media_type}","manifests":[]}}{space}"#);
        }
        let config = if media_type.contains("docker") {
            "application/vnd.docker.container.image.v1+json"
        } else {
            "application/vnd.oci.image.config.v1+json"
        };
        format!(
            r#"{{"schemaVersion":2,  "mediaType":"{media_type}","config":{{"mediaType":"{config}","size":2,"digest":"{EMPTY}"}},"layers":[]}}{space}"#
        )
    }

    /// Stores a manifest, and the config that it names, and returns the manifest's digest.
    pub(crate) async fn put(&self, repository: &str, tag: &str, media_type: &str, body: &str) -> String {
        self.put_blob(repository, EMPTY, b"{}").await;
        let path = format!("/v2/{repository}/manifests/{tag}");
        let response = self.request(Method::PUT, &path, media_type, body.as_bytes().to_vec()).await;
        response.headers()["docker-content-digest"].to_str().unwrap().to_owned()
    }

    pub(crate) async fn put_blob(&self, repository: &str, digest: &str, content: &[u8]) {
        let start = format!("/v2/{repository}/blobs/uploads/");
        let upload = self.request(Method::POST, &start, "", Vec::new()).await;
        let location = upload.headers()[header::LOCATION].to_str().unwrap().to_owned();
        let location = format!("{location}&digest={digest}");
        self.request(Method::PUT, &location, "application/octet-stream", content.to_vec()).await;
    }

    /// Content of a blob, which must be there.
    pub(crate) async fn blob(&self, repository: &str, digest: &str) -> Vec<u8> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        self.request(Method::GET, &path, "", Vec::new()).await.bytes().await.unwrap().to_vec()
    }

    /// Media type and text of a manifest.
    pub(crate) async fn get(&self, repository: &str, tag: &str) -> (String, String) {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let response = self.request(Method::GET, &path, "", Vec::new()).await;
        let media_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (media_type, response.text().await.unwrap())
    }
}

/// Digest of `{}`.
const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
