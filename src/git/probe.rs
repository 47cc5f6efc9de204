//! Whether a URL is that of a repository: what git itself asks first, without git.
//!
//! <https://git-scm.com/docs/http-protocol>, "Discovering References".

use std::time::Duration;

use reqwest::{StatusCode, header};

use super::{Login, Source};

/// How long a host may take. Then the URL is taken for what it looks like.
const PATIENCE: Duration = Duration::from_secs(10);
/// The type of git's own answer.
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";

/// Asks whether there is a repository. One that wants a credential is there where it takes this one.
pub async fn is_repository(source: &Source, login: &Login) -> bool {
    let Ok(client) = reqwest::Client::builder().timeout(PATIENCE).build() else { return false };
    let url = format!("{}/info/refs?service=git-upload-pack", source.url);
    let ask = |authorized: bool| {
        // Some hosts answer nobody else.
        let request = client.get(&url).header(header::USER_AGENT, "git/2.39 (remora)");
        match login {
            Login::Password { user, password, .. } if authorized => request.basic_auth(user, Some(password)),
            Login::Header(value) if authorized => request.header(header::AUTHORIZATION, value),
            _ => request,
        }
    };
    let Ok(mut answer) = ask(false).send().await else { return false };
    if answer.status() == StatusCode::UNAUTHORIZED && !matches!(login, Login::Anonymous) {
        let Ok(second) = ask(true).send().await else { return false };
        answer = second;
    }
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    answer.status().is_success() && kind == Some(ADVERTISEMENT)
}
