//! What is made, what is said of it, and what is asked in its place <-> protobuf.

use std::collections::{BTreeMap, HashMap};

use super::request::usage;
use crate::{
    model::{
        Annotated, Annotation, Answer, Export, Failure, Provenance, Subrequest, check_attestation, check_export_option,
    },
    pb,
};

impl TryFrom<pb::Annotation> for Annotation {
    type Error = Failure;

    fn try_from(annotation: pb::Annotation) -> Result<Self, Failure> {
        let pb::Annotation { of, platform, key, value } = annotation;
        let of = Annotated::parse(&of).ok_or_else(|| usage(format!("nothing is annotated that is called '{of}'")))?;
        let annotation = Self { of, platform: Some(platform).filter(|platform| !platform.is_empty()), key, value };
        annotation.check().map_err(usage)?;
        Ok(annotation)
    }
}

impl From<Annotation> for pb::Annotation {
    fn from(annotation: Annotation) -> Self {
        let Annotation { of, platform, key, value } = annotation;
        Self { of: of.as_str().to_owned(), platform: platform.unwrap_or_default(), key, value }
    }
}

pub(super) fn attestations(asked: HashMap<String, String>) -> Result<BTreeMap<String, String>, Failure> {
    for (kind, parameters) in &asked {
        check_attestation(kind, parameters).map_err(usage)?;
    }
    Ok(asked.into_iter().collect())
}

pub(super) fn from_subrequest(subrequest: pb::Subrequest) -> Option<Subrequest> {
    match subrequest {
        pb::Subrequest::None => None,
        pb::Subrequest::Lint => Some(Subrequest::Lint),
        pb::Subrequest::Outline => Some(Subrequest::Outline),
        pb::Subrequest::Targets => Some(Subrequest::Targets),
    }
}

pub(super) fn to_subrequest(subrequest: Option<Subrequest>) -> pb::Subrequest {
    match subrequest {
        None => pb::Subrequest::None,
        Some(Subrequest::Lint) => pb::Subrequest::Lint,
        Some(Subrequest::Outline) => pb::Subrequest::Outline,
        Some(Subrequest::Targets) => pb::Subrequest::Targets,
    }
}

pub(super) fn from_provenance(provenance: pb::Provenance) -> Option<Provenance> {
    match provenance {
        pb::Provenance::None => None,
        pb::Provenance::Min => Some(Provenance::Min),
        pb::Provenance::Max => Some(Provenance::Max),
    }
}

pub(super) fn to_provenance(provenance: Option<Provenance>) -> pb::Provenance {
    match provenance {
        None => pb::Provenance::None,
        Some(Provenance::Min) => pb::Provenance::Min,
        Some(Provenance::Max) => pb::Provenance::Max,
    }
}

pub(super) fn to_answer(Answer { text, json, status }: Answer) -> pb::Answer {
    pb::Answer { text, json, status }
}

pub(super) fn from_answer(pb::Answer { text, json, status }: pb::Answer) -> Answer {
    Answer { text, json, status }
}

pub(super) fn from_export(export: pb::Export) -> Export {
    match export {
        pb::Export::Image => Export::Image,
        pb::Export::Tar => Export::Tar,
        pb::Export::Oci => Export::Oci,
        pb::Export::Docker => Export::Docker,
        pb::Export::CacheOnly => Export::CacheOnly,
        pb::Export::Local => Export::Local,
    }
}

pub(super) fn to_export(export: Export) -> pb::Export {
    match export {
        Export::Image => pb::Export::Image,
        Export::Tar => pb::Export::Tar,
        Export::Oci => pb::Export::Oci,
        Export::Docker => pb::Export::Docker,
        Export::CacheOnly => pb::Export::CacheOnly,
        Export::Local => pb::Export::Local,
    }
}

pub(super) fn checked_options(
    export: Export,
    options: HashMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    options.keys().try_for_each(|option| check_export_option(export, option)).map_err(usage)?;
    Ok(options.into_iter().collect())
}
