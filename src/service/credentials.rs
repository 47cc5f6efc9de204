//! Asks a session for what a registry wants to see.

use bollard_buildkit_proto::moby::filesync::v1::{CredentialsRequest, auth_client::AuthClient};
use tonic::Code;

use crate::{
    engine::PushCredential,
    model::{Failure, FailureKind},
    session::Lent,
};

/// The client's credential for this registry; an empty one where it has none, or lends nothing.
pub(super) async fn ask(lent: Option<&Lent>, registry: &str) -> Result<PushCredential, Failure> {
    let Some(lent) = lent else { return Ok(PushCredential::default()) };
    let mut auth = AuthClient::new(lent.channel());
    match auth.credentials(CredentialsRequest { host: registry.to_owned() }).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            Ok(PushCredential { username: answer.username, secret: answer.secret })
        }
        Err(status) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => Ok(PushCredential::default()),
        Err(status) => Err(Failure::new(
            FailureKind::Usage,
            format!("the client's credentials for {registry} cannot be had: {}", status.message()),
        )
        .next("check the Docker configuration where the client runs")),
    }
}
