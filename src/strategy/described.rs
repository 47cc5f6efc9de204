//! What is said of an image beside its layers, as this engine can say it.

use super::{Exporter, Facts};
use crate::model::{Annotation, BuildRequest, Export, Failure, FailureKind, ImageStore};

const ELSEWHERE: &str = "leave it out, or give the engine the containerd image store (Docker 24.0 or later)";

/// Refuses attestations and annotations where they would get lost.
pub(super) fn check(facts: Facts<'_>) -> Result<(), Failure> {
    let Facts { request, capabilities, .. } = facts;
    let refused = |what: String, next| Err(Failure::new(FailureKind::Usage, what).next(next));
    if let Some(kind) = request.attestations.keys().next().filter(|_| !capabilities.attestations) {
        return refused(format!("--attest type={kind}: this engine makes no attestations"), ELSEWHERE);
    }
    if let (Export::Image, Some(ImageStore::Graphdriver), Some(option)) =
        (request.export, capabilities.image_store, request.export_options.keys().next())
    {
        return refused(format!("-o {option}: this engine's graphdriver store has no such choice"), ELSEWHERE);
    }
    let Some(Annotation { key, of, .. }) = request.annotations.first() else { return Ok(()) };
    if !matches!(request.export, Export::Image | Export::Oci | Export::Docker) {
        let what = format!("--annotation {key}: what is exported is no image that could have one");
        return refused(what, "leave it out, or export an image: -o type=oci,dest=FILE");
    }
    if !capabilities.attestations {
        let what = format!("--annotation {}:{key}: this engine's images have no annotations", of.as_str());
        return refused(what, ELSEWHERE);
    }
    let of_index = request.annotations.iter().find(|annotation| annotation.of.is_of_index());
    if let Some(Annotation { key, of, .. }) = of_index
        && request.platforms.len() < 2
        && request.attestations.is_empty()
    {
        let what = format!("--annotation {}:{key}: an image for one platform has no index", of.as_str());
        return refused(what, "annotate its manifest, or build for several platforms");
    }
    Ok(())
}

/// Tells an exporter of the annotations, and of how it is to be done.
pub(super) fn describe(exporter: &mut Exporter, request: &BuildRequest) {
    let attr = |Annotation { of, platform, key, value }: &Annotation| {
        let platform = platform.as_ref().map(|platform| format!("[{platform}]")).unwrap_or_default();
        (format!("annotation-{}{platform}.{key}", of.as_str()), value.clone())
    };
    exporter.attrs.extend(request.annotations.iter().map(attr));
    exporter.attrs.extend(request.export_options.clone());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        model::{Annotated, Capabilities},
        strategy::{
            output,
            sample::{buildkitd, containerd, graphdriver, request},
        },
    };

    fn annotation(of: Annotated, platform: Option<&str>) -> Annotation {
        let platform = platform.map(str::to_owned);
        Annotation { of, platform, key: "org.example.a".to_owned(), value: "b".to_owned() }
    }

    fn decide(request: &BuildRequest, capabilities: &Capabilities) -> Result<Option<Exporter>, Failure> {
        output(Facts { request, capabilities, allowed: &[], insecure: &[] }).map(|output| output.exporter)
    }

    #[test]
    fn every_exporter_of_an_image_is_told_of_its_annotations() {
        let annotations =
            vec![annotation(Annotated::Manifest, Some("linux/amd64")), annotation(Annotated::ManifestDescriptor, None)];
        let export_options = [("compression".to_owned(), "zstd".to_owned())].into();
        let plain = BuildRequest { export_options, annotations, ..request() };
        let oci = BuildRequest { export: Export::Oci, ..plain.clone() };
        let with_oci = Capabilities { exporters: vec!["oci"], ..buildkitd() };
        for (request, engine) in [
            (plain.clone(), containerd()),
            (BuildRequest { push: true, ..plain.clone() }, containerd()),
            (BuildRequest { push: true, ..plain }, buildkitd()),
            (oci, with_oci),
        ] {
            let attrs = decide(&request, &engine).unwrap().unwrap().attrs;
            assert_eq!(attrs["annotation-manifest[linux/amd64].org.example.a"], "b");
            assert_eq!(attrs["annotation-manifest-descriptor.org.example.a"], "b");
            assert_eq!(attrs["compression"], "zstd");
        }
    }

    #[test]
    fn what_would_get_lost_is_refused() {
        let annotated = |of| BuildRequest { annotations: vec![annotation(of, None)], ..request() };
        let attested = BuildRequest { attestations: [("sbom".to_owned(), String::new())].into(), ..request() };
        let refused = |request: &BuildRequest, engine: &Capabilities| decide(request, engine).unwrap_err().kind;
        assert_eq!(refused(&attested, &graphdriver()), FailureKind::Usage);
        assert_eq!(refused(&annotated(Annotated::Manifest), &graphdriver()), FailureKind::Usage);
        let export_options = [("compression".to_owned(), "zstd".to_owned())].into();
        assert_eq!(refused(&BuildRequest { export_options, ..request() }, &graphdriver()), FailureKind::Usage);
        assert_eq!(refused(&annotated(Annotated::Index), &containerd()), FailureKind::Usage);
        let local = BuildRequest { export: Export::Local, ..annotated(Annotated::Manifest) };
        assert_eq!(refused(&local, &containerd()), FailureKind::Usage);
        let indexed = BuildRequest { annotations: vec![annotation(Annotated::Index, None)], ..attested };
        assert!(decide(&indexed, &containerd()).is_ok());
    }
}
