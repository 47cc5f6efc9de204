//! `SubjectAccessReview`: what the cluster's RBAC says.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use super::{Cluster, User, cluster::subject, review::delegator};
use crate::model::{API_GROUP, Failure, FailureKind, Permission};

/// Whether this user may do that in the agent's namespace, or what is missing; the error is that there is no answer.
pub(super) async fn access(
    cluster: &Cluster,
    user: &User,
    permission: Permission,
) -> Result<Result<(), Failure>, Failure> {
    let asked = ResourceAttributes {
        namespace: Some(cluster.namespace().to_owned()),
        group: Some(API_GROUP.to_owned()),
        resource: Some(permission.resource().to_owned()),
        verb: Some(permission.verb().to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            resource_attributes: Some(asked),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api = Api::<SubjectAccessReview>::all(cluster.client());
    let params = PostParams::default();
    let answer = cluster.answer("ask what callers may do", delegator, api.create(&params, &review)).await?;
    let allowed = answer.status.is_some_and(|status| status.allowed && status.denied != Some(true));
    Ok(if allowed { Ok(()) } else { Err(refused(&user.name, permission, cluster.namespace())) })
}

/// What is missing is told as commands. The role is written out: `kubectl create role` knows only resources of which the
/// API server keeps objects.
fn refused(user: &str, permission: Permission, namespace: &str) -> Failure {
    let (resource, verb, subject) = (permission.resource(), permission.verb(), subject(user));
    let name = format!("remora-{resource}-{verb}");
    let role = serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": [{"apiGroups": [API_GROUP], "resources": [resource], "verbs": [verb]}],
    });
    Failure::new(FailureKind::Policy, format!("{user} may not {permission} in the namespace {namespace}")).next(format!(
        "echo '{role}' | kubectl apply -f - && kubectl -n {namespace} create rolebinding {name} --role={name} {subject}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_rule_and_the_binding() {
        let failure = refused("system:serviceaccount:team:default", Permission::Push, "ci");
        assert_eq!(
            failure.what,
            "system:serviceaccount:team:default may not create pushes.remora.dev in the namespace ci"
        );
        for part in [
            r#""resources":["pushes"],"verbs":["create"]"#,
            "-n ci create rolebinding",
            "--serviceaccount=team:default",
        ] {
            assert!(failure.next.contains(part), "{}", failure.next);
        }
    }
}
