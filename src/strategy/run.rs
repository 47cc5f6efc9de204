//! What a build is given, as this engine can give it.

use crate::model::{BuildRequest, Capabilities, Failure, FailureKind, HostAddress, ImageStore, RunOptions};

/// The request with the address of the engine's host in place of `host-gateway`.
///
/// # Errors
/// It asks for what this engine would leave out without a word, or for an address that it does not tell (a label of the
/// worker has it in newer Dockers).
pub fn given(mut request: BuildRequest, capabilities: &Capabilities) -> Result<BuildRequest, Failure> {
    if let (false, Some(flag)) = (capabilities.run_limits, limit(&request.run)) {
        let what = format!("{flag}: this engine does not know it");
        return Err(Failure::new(FailureKind::Usage, what)
            .next("leave it out, or use Docker 23.0 or later, or a BuildKit of 0.10 or later"));
    }
    let layout = request.contexts.iter().find(|(_, value)| value.starts_with("oci-layout://"));
    if let (Some((name, _)), Some(ImageStore::Graphdriver)) = (layout, capabilities.image_store) {
        let what = format!("--build-context {name}: this engine's image store takes no images from directories");
        return Err(Failure::new(FailureKind::Usage, what).next(
            "push the image and name it as docker-image://IMAGE, or give the engine the containerd image store",
        ));
    }
    for (name, address) in &mut request.run.hosts {
        if *address == HostAddress::Gateway {
            let Some(gateway) = capabilities.host_gateway else {
                let what = format!("--add-host {name}:host-gateway: this engine does not tell the address of its host");
                return Err(Failure::new(FailureKind::Usage, what).next("name the address itself"));
            };
            *address = HostAddress::Ip(gateway);
        }
    }
    Ok(request)
}

fn limit(run: &RunOptions) -> Option<&'static str> {
    let RunOptions { cgroup_parent, shm_bytes, ulimits, hosts: _ } = run;
    let flags = [
        (!cgroup_parent.is_empty(), "--cgroup-parent"),
        (*shm_bytes > 0, "--shm-size"),
        (!ulimits.is_empty(), "--ulimit"),
    ];
    flags.into_iter().find_map(|(wanted, flag)| wanted.then_some(flag))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::strategy::sample::{graphdriver, request};

    #[test]
    fn the_engines_host_is_known_where_the_engine_tells_it() {
        let mut asked = request();
        asked.run.hosts = vec![("a".to_owned(), HostAddress::Gateway)];
        let failure = given(asked.clone(), &graphdriver()).unwrap_err();
        assert!(failure.what.contains("a:host-gateway"), "{failure:?}");
        let gateway = "172.17.0.1".parse().unwrap();
        let engine = Capabilities { host_gateway: Some(gateway), ..graphdriver() };
        let known = given(asked, &engine).unwrap();
        assert_eq!(known.run.hosts, [("a".to_owned(), HostAddress::Ip(gateway))]);
    }

    #[test]
    fn an_image_in_a_directory_is_refused_where_the_engine_cannot_take_it() {
        let mut asked = request();
        asked.contexts = [("a".to_owned(), "oci-layout://x@sha256:0".to_owned())].into();
        assert!(given(asked.clone(), &graphdriver()).unwrap_err().what.contains("--build-context a"));
        let other = Capabilities { image_store: Some(ImageStore::Containerd), ..graphdriver() };
        assert!(given(asked, &other).is_ok());
    }

    #[test]
    fn what_an_engine_would_leave_out_is_refused() {
        let old = Capabilities { run_limits: false, ..graphdriver() };
        let asked = |run| given(BuildRequest { run, ..request() }, &old);
        let limited = RunOptions { shm_bytes: 1, ..RunOptions::default() };
        assert!(asked(limited.clone()).unwrap_err().what.contains("--shm-size"));
        assert!(asked(RunOptions::default()).is_ok());
        assert!(given(BuildRequest { run: limited, ..request() }, &graphdriver()).is_ok());
    }
}
