//! A token service, as registries have one before them, on loopback.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/>,
//! <https://distribution.github.io/distribution/spec/auth/oauth/>,
//! <https://distribution.github.io/distribution/spec/auth/jwt/>.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tempfile::TempDir;

/// base64 of remora:s3cret.
const PASSWORD: &str = "Basic cmVtb3JhOnMzY3JldA==";
/// What stands for the password where one has logged in with it.
const IDENTITY: &str = "identity-of-remora";
/// docker-registry takes a token for so much longer than it says.
const LEEWAY: u64 = 60;

/// Ends with the process.
pub(crate) struct TokenService {
    pub(crate) realm: String,
    keys: Arc<Keys>,
    granted: Arc<Mutex<Vec<Granted>>>,
}

/// A token that somebody got.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub(crate) at: Instant,
    /// `remora`, `identity`, or nothing for nobody.
    pub(crate) to: &'static str,
    /// Such as `repository:app:pull,push`.
    pub(crate) scopes: Vec<String>,
}

struct Keys {
    dir: TempDir,
    certificate: PathBuf,
    /// How long the registry believes a token.
    life: Duration,
}

impl TokenService {
    /// Tokens of this service are of use for `life`, and say so: less than a minute.
    pub(crate) fn start(life: Duration) -> Self {
        let dir = super::scratch();
        let args = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=tokens.test -keyout key.pem -out cert.pem";
        let made = Command::new("openssl").args(args.split(' ')).current_dir(dir.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let keys = Arc::new(Keys { certificate: dir.path().join("cert.pem"), dir, life });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let realm = format!("http://{}/token", listener.local_addr().unwrap());
        let granted = Arc::<Mutex<Vec<Granted>>>::default();
        let (at, log) = (Arc::clone(&keys), Arc::clone(&granted));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (keys, granted) = (Arc::clone(&at), Arc::clone(&log));
                std::thread::spawn(move || drop(serve(client, &keys, &granted)));
            }
        });
        Self { realm, keys, granted }
    }

    /// What a registry believes.
    pub(crate) fn certificate(&self) -> &str {
        self.keys.certificate.to_str().unwrap()
    }

    /// The tokens that were given out, in their order.
    pub(crate) fn granted(&self) -> Vec<Granted> {
        self.granted.lock().unwrap().clone()
    }

    /// A directory with a Docker `config.json` for these hosts: the password, or the token that stands for it.
    pub(crate) fn docker_config(hosts: &[&str], identity: bool) -> TempDir {
        let entry = if identity {
            json!({"auth": "cmVtb3JhOg==", "identitytoken": IDENTITY})
        } else {
            json!({"auth": PASSWORD.trim_start_matches("Basic ")})
        };
        let auths: BTreeMap<_, _> = hosts.iter().map(|host| (*host, entry.clone())).collect();
        super::context(&[("config.json", &json!({ "auths": auths }).to_string())])
    }
}

impl Keys {
    /// A token for these scopes.
    fn token(&self, scopes: &[String]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let access = scopes.iter().filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, actions) = rest.rsplit_once(':')?;
            Some(json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}))
        });
        let pem = std::fs::read_to_string(&self.certificate).unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
        let claims = json!({
            "iss": "tokens.test", "sub": "remora", "aud": "registry.test", "jti": super::unique(),
            "iat": now - 2 * LEEWAY, "nbf": now - 2 * LEEWAY, "exp": now + self.life.as_secs() - LEEWAY,
            "access": access.collect::<Vec<_>>(),
        });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let mut sign = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign", "key.pem"])
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        sign.stdin.take().unwrap().write_all(signed.as_bytes()).unwrap();
        let signature = sign.wait_with_output().unwrap().stdout;
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// One request a connection.
fn serve(client: TcpStream, keys: &Keys, granted: &Mutex<Vec<Granted>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        let found =
            lines.iter().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let target = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let mut body = vec![0; header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let form = String::from_utf8_lossy(&body).into_owned();
    let query = if form.is_empty() { target.split_once('?').map_or("", |(_, query)| query) } else { &form };
    let url = reqwest::Url::parse(&format!("http://x/?{query}")).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let scopes = pairs.iter().filter(|(key, _)| key == "scope").flat_map(|(_, value)| value.split(' '));
    let scopes: Vec<_> = scopes.filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    let to = match (value("refresh_token"), value("username"), value("password"), header("authorization")) {
        (Some(IDENTITY), ..) => Some("identity"),
        (None, Some("remora"), Some("s3cret"), _) => Some("remora"),
        (None, None, _, Some(password)) if password == PASSWORD => Some("remora"),
        (None, None, None, None) => Some(""),
        _ => None,
    };
    let Some(to) = to else {
        return write!(client, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let token = keys.token(if to.is_empty() { &[] } else { &scopes });
    // Clients take no time below a minute: so it was given out a while ago.
    let issued = SystemTime::now() + keys.life - Duration::from_secs(LEEWAY);
    let answer = json!({
        "token": token, "access_token": token, "expires_in": LEEWAY,
        "issued_at": humantime::format_rfc3339_seconds(issued).to_string(),
    });
    granted.lock().unwrap().push(Granted { at: Instant::now(), to, scopes });
    let answer = answer.to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    write!(client, "{head}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())
}
