//! A real API server of Kubernetes, and certificates.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tempfile::TempDir;

/// An address of this machine that is not loopback: the namespace that the tests run in has no other.
pub(crate) const ADDRESS: &str = "10.99.0.1";

/// Has [`ADDRESS`] there, and gives a port of it that is free.
pub(crate) fn outside() -> String {
    // It may be there already.
    drop(Command::new("ip").args(["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"]).output().unwrap());
    let port = std::net::TcpListener::bind((ADDRESS, 0)).unwrap().local_addr().unwrap().port();
    format!("tcp://{ADDRESS}:{port}")
}

/// The API server, etcd behind it, and no node. It holds the namespaces `ci`, of the agent `remora-agent`, and `team`, of the
/// account `builder`. Ends with this value.
pub(crate) struct ApiServer {
    dir: TempDir,
}

impl ApiServer {
    pub(crate) fn start() -> Self {
        let dir = super::scratch();
        super::script("kubernetes.sh", &["api", dir.path().to_str().unwrap()]);
        let server = Self { dir };
        for (namespace, account) in [("ci", "remora-agent"), ("team", "builder")] {
            server.kubectl(&["create", "namespace", namespace]);
            server.kubectl(&["-n", namespace, "create", "serviceaccount", account]);
        }
        server
    }

    /// One where the agent may ask who callers are and what they may do.
    pub(crate) fn with_delegator() -> Self {
        let server = Self::start();
        server.sh("kubectl create clusterrolebinding remora-auth-delegator --clusterrole=system:auth-delegator \
             --serviceaccount=ci:remora-agent");
        server
    }

    /// `kubectl ARGS...`, as an administrator; what it prints.
    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let output = Command::new(script()).args(["kubectl", self.path()]).args(args).stdin(Stdio::null()).output();
        printed(&output.unwrap())
    }

    /// Runs commands as our errors tell them.
    #[track_caller]
    pub(crate) fn sh(&self, words: &str) {
        let function = format!("kubectl() {{ '{}' kubectl '{}' \"$@\"; }}\n{words}", script().display(), self.path());
        printed(&Command::new("bash").args(["-euc", &function]).stdin(Stdio::null()).output().unwrap());
    }

    /// A token of an account, for this audience.
    pub(crate) fn token(&self, namespace: &str, account: &str, audience: &str) -> String {
        let token = self.kubectl(&["-n", namespace, "create", "token", account, "--audience", audience]);
        token.trim().to_owned()
    }

    /// A token of the account `builder` that has expired: the server gives none that ends within ten minutes, so the
    /// test signs it in its place.
    pub(crate) fn expired_token(&self) -> String {
        let uid = self.kubectl(&["-n", "team", "get", "serviceaccount", "builder", "-o", "jsonpath={.metadata.uid}"]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = serde_json::json!({
            "iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:team:builder", "aud": ["remora"],
            "iat": now - 7200, "nbf": now - 7200, "exp": now - 3600,
            "kubernetes.io": {"namespace": "team", "serviceaccount": {"name": "builder", "uid": uid}},
        });
        let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&serde_json::json!({"alg": "RS256"})), part(&claims));
        let text = self.dir.path().join("signed");
        std::fs::write(&text, &signed).unwrap();
        let key = self.dir.path().join("keys/accounts.key");
        let output = Command::new("openssl").args(["dgst", "-sha256", "-sign"]).args([&key, &text]).output().unwrap();
        assert!(output.status.success());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(output.stdout))
    }

    /// What the agent of the namespace `ci` finds its cluster by.
    pub(crate) fn agents_config(&self) -> PathBuf {
        let server =
            format!("https://127.0.0.1:{}", std::fs::read_to_string(self.dir.path().join("port")).unwrap().trim());
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "ci",
            "clusters": [{"name": "ci", "cluster": {"server": server, "certificate-authority": self.dir.path().join("keys/ca.crt")}}],
            "users": [{"name": "remora", "user": {"token": self.token("ci", "remora-agent", "https://kubernetes.default.svc")}}],
            "contexts": [{"name": "ci", "context": {"cluster": "ci", "user": "remora", "namespace": "ci"}}],
        });
        let file = self.dir.path().join("agent.kubeconfig");
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    pub(crate) fn stop(&self) {
        super::script("kubernetes.sh", &["stop", self.path()]);
    }

    fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lib/kubernetes.sh")
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Signs certificates.
pub(crate) struct Authority {
    dir: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self { dir: super::scratch() };
        authority.openssl(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
             -keyout ca.key -out ca.crt",
        );
        authority
    }

    /// Signs a certificate for these days, as `NAME.crt` and `NAME.key`; the agent's is for [`ADDRESS`] and the pool's name.
    pub(crate) fn sign(&self, name: &str, days: i32) {
        let (from, to) =
            if days < 0 { ("20200101000000Z", "20200102000000Z") } else { ("20200101000000Z", "20991231000000Z") };
        self.openssl(&format!(
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr
             echo subjectAltName=DNS:remora.ci.svc,DNS:pool.test,IP:{ADDRESS} >names
             touch index.txt; [ -e serial ] || echo 01 >serial
             printf '[ca]\\ndefault_ca=x\\n[x]\\ndatabase=index.txt\\nserial=serial\\nnew_certs_dir=.\\ndefault_md=sha256\\nunique_subject=no\\npolicy=p\\n[p]\\ncommonName=supplied\\n' >ca.cnf
             openssl ca -batch -config ca.cnf -cert ca.crt -keyfile ca.key -in {name}.csr -out {name}.crt -notext \
               -startdate {from} -enddate {to} -extfile names"
        ));
    }

    /// The path of one of its files.
    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn openssl(&self, words: &str) {
        let output = Command::new("sh").args(["-ec", words]).current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
