//! `TokenReview`: whose token it is.

use std::time::SystemTime;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, PostParams};

use super::{Cluster, User, claims::Claims};
use crate::model::{Failure, FailureKind};

/// Says whose token it is, or why it is nobody's here; the error is that there is no answer.
pub(super) async fn review(cluster: &Cluster, token: &str, audience: &str) -> Result<Result<User, Failure>, Failure> {
    let review = TokenReview {
        spec: TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![audience.to_owned()]) },
        ..TokenReview::default()
    };
    let api = Api::<TokenReview>::all(cluster.client());
    let params = PostParams::default();
    let answer = cluster.answer("review tokens", delegator, api.create(&params, &review)).await?;
    Ok(judge(answer.status.unwrap_or_default(), token, audience))
}

/// What the agent's account needs for both kinds of review: a role that every cluster has.
pub(super) fn delegator(subject: &str) -> String {
    format!("kubectl create clusterrolebinding remora-auth-delegator --clusterrole=system:auth-delegator {subject}")
}

fn judge(status: TokenReviewStatus, token: &str, audience: &str) -> Result<User, Failure> {
    // An authenticator that knows no audiences names none: such a token is the API server's, and not ours.
    let ours = status.audiences.iter().flatten().any(|named| named == audience);
    let said = status.error.unwrap_or_default();
    match status.user {
        Some(user) if status.authenticated == Some(true) && ours => {
            let name = user.username.unwrap_or_default();
            Ok(User { name, uid: user.uid, groups: user.groups, extra: user.extra })
        }
        _ => Err(refused(&said.replace(token, "***"), &Claims::of(token), audience)),
    }
}

/// Why a token is no good whatever the API server says of it: it says so itself, and nobody need be asked.
pub(super) fn refused_by_itself(claims: &Claims, audience: &str) -> Option<Failure> {
    let policy = |what: String, next: String| Some(Failure::new(FailureKind::Policy, what).next(next));
    let audiences = claims.audiences();
    if !audiences.is_empty() && !audiences.iter().any(|named| named == audience) {
        let what =
            format!("the token shown is for the audience {}, and this agent's is {audience}", audiences.join(", "));
        return policy(what, projected(audience));
    }
    if let Some(age) = claims.expiry().and_then(|expiry| SystemTime::now().duration_since(expiry).ok()) {
        let what = format!("the token shown expired {} s ago", age.as_secs());
        let next =
            "let the client read the file that Kubernetes renews (REMORA_TOKEN_FILE, or /var/run/secrets/remora/token)";
        return policy(what, next.to_owned());
    }
    None
}

fn refused(said: &str, claims: &Claims, audience: &str) -> Failure {
    if let Some(refusal) = refused_by_itself(claims, audience) {
        return refusal;
    }
    let said = if said.is_empty() { "no reason given" } else { said };
    Failure::new(FailureKind::Policy, format!("the cluster does not know the token shown: {said}"))
        .next(projected(audience))
}

/// How a step comes by a token.
pub(super) fn projected(audience: &str) -> String {
    format!(
        "give the step a volume at /var/run/secrets/remora: {{projected: {{sources: [{{serviceAccountToken: \
         {{audience: {audience}, path: token}}}}]}}}}"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;

    fn status(authenticated: bool, audiences: Option<&[&str]>, error: &str) -> TokenReviewStatus {
        TokenReviewStatus {
            audiences: audiences.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            authenticated: Some(authenticated),
            error: Some(error.to_owned()),
            user: Some(UserInfo { username: Some("alice".to_owned()), ..UserInfo::default() }),
        }
    }

    #[test]
    fn a_token_is_good_for_its_audience_alone() {
        assert_eq!(judge(status(true, Some(&["remora"]), ""), "t", "remora").unwrap().name, "alice");
        for audiences in [None, Some(&["https://kubernetes.default.svc"][..]), Some(&[])] {
            assert!(judge(status(true, audiences, ""), "t", "remora").is_err(), "{audiences:?}");
        }
        assert!(judge(status(false, Some(&["remora"]), ""), "t", "remora").is_err());
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_never_the_token() {
        let jwt = |json: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(json));
        for (token, wanted) in [
            (jwt(r#"{"aud":["vault"],"exp":1}"#), "for the audience vault, and this agent's is remora"),
            (jwt(r#"{"aud":["remora"],"exp":1}"#), "expired"),
            (jwt(r#"{"aud":["remora"]}"#), "does not know the token shown: bad token ***"),
        ] {
            let failure = judge(status(false, None, &format!("bad token {token}")), &token, "remora").unwrap_err();
            assert_eq!(failure.kind, FailureKind::Policy);
            assert!(failure.what.contains(wanted) && !failure.what.contains(&token), "{failure}");
            assert!(!failure.next.is_empty());
        }
    }
}
