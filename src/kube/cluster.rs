//! The connection with the API server, and what its errors mean.

use std::time::Duration;

use kube::{Client, Config, Error};

use crate::model::{Failure, FailureKind};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to connect.
const CONNECTING: Duration = Duration::from_secs(3);
/// How Kubernetes names the users that are service accounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// A cluster's API server. Clones share its connections.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    url: String,
}

impl Cluster {
    /// The cluster that this pod is in; outside of one, that of `KUBECONFIG` or `~/.kube/config`, which come first.
    /// Nothing is asked yet. An error is a line for whoever starts the agent.
    pub async fn find() -> Result<Self, String> {
        let mut config = Config::infer().await.map_err(|error| {
            let causes = causes(&error);
            format!(
                "there is no cluster to ask: {causes}; run the agent in a pod with a service account, or set KUBECONFIG"
            )
        })?;
        config.connect_timeout = Some(CONNECTING);
        let url = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|error| format!("cannot ask the cluster at {url}: {error}"))?;
        Ok(Self { client, namespace, url })
    }

    /// The namespace of the agent.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Waits for an answer. `doing` says what for; `rule` is what to add where the agent's own account may not, given
    /// its arguments for `kubectl create rolebinding`.
    pub(super) async fn answer<T>(
        &self,
        doing: &str,
        rule: impl FnOnce(&str) -> String,
        asking: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        let down = |why: String| {
            let what = format!("the Kubernetes API server at {} cannot be asked to {doing}: {why}", self.url);
            Failure::new(FailureKind::Agent, what).next("try again; see whether the agent's pod reaches the API server")
        };
        let error = match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => return Err(down(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        Err(match &error {
            Error::Api(status) if status.code == 403 => {
                let what = format!("the agent itself may not {doing}: {}", status.message);
                Failure::new(FailureKind::Policy, what).next(rule(&bound_to(&status.message)))
            }
            Error::Api(status) if status.code == 401 => down("it does not know the agent's own token".to_owned()),
            Error::Api(status) => down(format!("{} ({})", status.message, status.code)),
            other => down(causes(other)),
        })
    }
}

/// Whom a binding has to name, as an argument of `kubectl create rolebinding`, from what the API server says of who may
/// not.
fn bound_to(message: &str) -> String {
    let user = message.split_once("User \"").and_then(|(_, rest)| rest.split_once('"')).map(|(user, _)| user);
    subject(user.unwrap_or(&format!("{SERVICE_ACCOUNT}NAMESPACE:NAME")))
}

/// A user as such an argument.
pub(super) fn subject(user: &str) -> String {
    match user.strip_prefix(SERVICE_ACCOUNT) {
        Some(account) => format!("--serviceaccount={account}"),
        None => format!("--user={user}"),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_that_lacks_a_rule_is_named_as_kubectl_wants_it() {
        let message = "secrets \"pull\" is forbidden: User \"system:serviceaccount:ci:remora\" cannot get resource";
        assert_eq!(bound_to(message), "--serviceaccount=ci:remora");
        assert_eq!(bound_to("User \"alice\" cannot"), "--user=alice");
        assert_eq!(bound_to("no"), "--serviceaccount=NAMESPACE:NAME");
    }
}
