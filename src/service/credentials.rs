//! Asks a session for what a registry wants to see.

use bollard_buildkit_proto::moby::filesync::v1::{CredentialsRequest, CredentialsResponse, auth_client::AuthClient};
use tonic::Code;

use crate::{
    model::{Credential, Failure, FailureKind},
    session::Lent,
};

/// The client's credential for this registry; nobody's where it has none, or lends nothing.
pub(super) async fn ask(lent: Option<&Lent>, registry: &str) -> Result<Credential, Failure> {
    let Some(lent) = lent else { return Ok(Credential::Anonymous) };
    let mut auth = AuthClient::new(lent.channel());
    match auth.credentials(CredentialsRequest { host: registry.to_owned() }).await {
        Ok(answer) => {
            let CredentialsResponse { username, secret } = answer.into_inner();
            Ok(match (username.is_empty(), secret.is_empty()) {
                (true, true) => Credential::Anonymous,
                (true, false) => Credential::IdentityToken(secret),
                (false, _) => Credential::Basic { username, secret },
            })
        }
        Err(status) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => Ok(Credential::Anonymous),
        Err(status) => Err(Failure::new(
            FailureKind::Usage,
            format!("the client's credentials for {registry} cannot be had: {}", status.message()),
        )
        .next("check the Docker configuration where the client runs")),
    }
}
