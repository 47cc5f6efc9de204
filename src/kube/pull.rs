//! Pull secrets: read when they are wanted, and again when they were read a while ago.

use std::{fmt, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::{sync::Mutex, time::Instant};

use super::{Cluster, entries::Entries};
use crate::model::{Credential, Failure, FailureKind, SecretName};

/// After which time a secret is read again: one that was changed counts after that.
const FRESH: Duration = Duration::from_secs(10);
/// How long what was read counts while the API server does not answer.
const STALE: Duration = Duration::from_secs(600);

/// The pull secrets that the agent was told to use.
pub struct PullSecrets {
    cluster: Cluster,
    secrets: Vec<(SecretName, Mutex<Read>)>,
}

impl fmt::Debug for PullSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.secrets.iter().map(|(name, _)| name)).finish()
    }
}

/// What was read of one secret, and when.
#[derive(Default)]
struct Read {
    entries: Entries,
    at: Option<Instant>,
    tried: Option<Instant>,
    problem: Option<Failure>,
}

impl PullSecrets {
    /// Reads nothing yet.
    pub fn new(cluster: Cluster, names: Vec<SecretName>) -> Self {
        Self { cluster, secrets: names.into_iter().map(|name| (name, Mutex::default())).collect() }
    }

    /// What to log in to a registry with. The secret that was named first wins.
    pub async fn credential(&self, host: &str) -> Option<Credential> {
        for (name, read) in &self.secrets {
            let mut read = read.lock().await;
            self.refresh(name, &mut read).await;
            if let Some(credential) = read.entries.get(host) {
                return Some(credential.clone());
            }
        }
        None
    }

    /// What is wrong with them now: a line each, with what to do.
    pub async fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, read) in &self.secrets {
            let mut read = read.lock().await;
            self.refresh(name, &mut read).await;
            let told = |failure: &Failure| format!("{failure}; {}", failure.next);
            problems.extend(read.problem.as_ref().map(told));
        }
        problems
    }

    async fn refresh(&self, name: &SecretName, read: &mut Read) {
        let now = Instant::now();
        if read.tried.is_some_and(|tried| now < tried + FRESH) {
            return;
        }
        let answer = self.read(name).await;
        // Only now: a build that is dropped while it waits has found out nothing for the others.
        read.tried = Some(now);
        let problem = match answer {
            Ok(entries) => {
                (read.entries, read.at) = (entries, Some(now));
                None
            }
            Err(failure) => {
                // What the API server says of the secret counts at once; its silence does not, for a while.
                let is_silence = failure.kind == FailureKind::Agent;
                if !is_silence || read.at.is_none_or(|at| now > at + STALE) {
                    (read.entries, read.at) = (Entries::default(), None);
                }
                Some(failure)
            }
        };
        if problem != read.problem
            && let Some(failure) = &problem
        {
            tracing::warn!(next = failure.next, "{failure}");
        }
        read.problem = problem;
    }

    async fn read(&self, name: &SecretName) -> Result<Entries, Failure> {
        let SecretName { namespace, name } = name;
        let namespace = namespace.as_deref().unwrap_or(self.cluster.namespace());
        let place = format!("the pull secret {namespace}/{name}");
        let api = Api::<Secret>::namespaced(self.cluster.client(), namespace);
        let rule = |subject: &str| {
            format!(
                "kubectl -n {namespace} create role remora-pull-{name} --verb=get --resource=secrets --resource-name={name} && \
                 kubectl -n {namespace} create rolebinding remora-pull-{name} --role=remora-pull-{name} {subject}"
            )
        };
        let found = self.cluster.answer(&format!("read {place}"), rule, api.get_opt(name)).await?;
        let usage = |what: String| {
            Failure::new(FailureKind::Usage, what).next(format!(
                "kubectl -n {namespace} create secret docker-registry {name} --docker-server=... --docker-username=..."
            ))
        };
        let secret = found.ok_or_else(|| usage(format!("{place} does not exist")))?;
        let data = secret.data.unwrap_or_default();
        let file = data.get(".dockerconfigjson").map(|json| (json, false));
        let Some((json, is_old)) = file.or_else(|| data.get(".dockercfg").map(|json| (json, true))) else {
            return Err(usage(format!("{place} is not of the type kubernetes.io/dockerconfigjson")));
        };
        Entries::read(&json.0, is_old).map_err(|problem| usage(format!("{place} cannot be used: {problem}")))
    }
}
