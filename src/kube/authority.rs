//! May the holder of this token do that: the cluster is asked, and its answers are remembered briefly.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};
use tokio::{sync::Semaphore, time::Instant};

use super::{Cluster, access::access, answers::Answers, claims::Claims, review};
use crate::model::{Failure, FailureKind, Permission};

/// How long a yes is remembered: a rule that was taken back counts after that time.
const YES: Duration = Duration::from_secs(60);
/// How long a no is remembered: a rule that was added counts after that time.
const NO: Duration = Duration::from_secs(5);
/// The most tokens that are remembered.
const TOKENS: usize = 1024;
/// The most tokens that the cluster is asked about at once, for anybody can show one.
const AT_ONCE: usize = 8;
/// How long a token may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Each has a few permissions.
const PERMISSIONS: usize = 4 * TOKENS;

/// Who a token's holder is, as the cluster says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Such as `system:serviceaccount:NAMESPACE:NAME`.
    pub name: String,
    pub(super) uid: Option<String>,
    pub(super) groups: Option<Vec<String>>,
    pub(super) extra: Option<BTreeMap<String, Vec<String>>>,
}

/// Tokens are known by their hashes alone.
type Known = [u8; 32];

/// What the cluster says of tokens and of their holders.
pub struct Authority {
    cluster: Cluster,
    audience: String,
    reviews: Semaphore,
    users: Answers<Known, Result<User, Failure>>,
    permissions: Answers<(Known, Permission), Result<(), Failure>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("audience", &self.audience).finish_non_exhaustive()
    }
}

impl Authority {
    /// Takes tokens that were made for this audience.
    pub fn new(cluster: Cluster, audience: String) -> Self {
        Self {
            cluster,
            audience,
            reviews: Semaphore::new(AT_ONCE),
            users: Answers::new(TOKENS),
            permissions: Answers::new(PERMISSIONS),
        }
    }

    /// Who shows this token. [`FailureKind::Policy`] where it is nobody, or no token;
    /// [`FailureKind::Agent`] where the cluster does not answer.
    pub async fn user(&self, token: Option<&str>) -> Result<User, Failure> {
        let Some(token) = token else {
            let what = "this agent wants a token of the cluster, and none was shown";
            return Err(Failure::new(FailureKind::Policy, what).next(review::projected(&self.audience)));
        };
        if let Some(refusal) = review::refused_by_itself(&Claims::of(token), &self.audience) {
            return Err(refusal);
        }
        let ask = async || {
            let _turn = tokio::time::timeout(PATIENCE, self.reviews.acquire()).await.map_err(|_| {
                Failure::new(FailureKind::Agent, "the agent has too many unknown tokens to ask the cluster about")
                    .next("try again; the agent's log tells whose tokens are refused")
            })?;
            let answer = review::review(&self.cluster, token, &self.audience).await?;
            let until = holds(answer.is_ok(), token);
            Ok::<_, Failure>((answer, until))
        };
        self.users.get(&known(token), ask).await?
    }

    /// Whether this user, who shows that token, may do that in the agent's namespace. Errors as above.
    pub async fn may(&self, user: &User, token: &str, permission: Permission) -> Result<(), Failure> {
        let ask = async || {
            let answer = access(&self.cluster, user, permission).await?;
            let until = holds(answer.is_ok(), token);
            Ok::<_, Failure>((answer, until))
        };
        self.permissions.get(&(known(token), permission), ask).await?
    }
}

/// Until when an answer is remembered: a yes no longer than the token is good.
fn holds(yes: bool, token: &str) -> Instant {
    let left = |expiry: SystemTime| expiry.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + if yes { Claims::of(token).expiry().map_or(YES, left).min(YES) } else { NO }
}

fn known(token: &str) -> Known {
    Sha256::digest(token).into()
}
