//! Where the result of a build goes.

use std::collections::BTreeMap;

use super::described;
use crate::model::{
    BuildRequest, Capabilities, EngineKind, Export, Failure, FailureKind, ImageStore, Network, Reference,
};

/// What is known before a build begins.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What is asked for.
    pub request: &'a BuildRequest,
    /// What the engine can do.
    pub capabilities: &'a Capabilities,
    /// Entitlements that the agent's configuration allows.
    pub allowed: &'a [String],
    /// Registries that speak plain HTTP.
    pub insecure: &'a [String],
}

/// Where a build's result goes: what the request and the engine decide before anything is known of the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where the result goes; `None` leaves it in the build cache.
    pub exporter: Option<Exporter>,
    /// How the result gets into its registries.
    pub push: PushMechanism,
    /// One push for each repository.
    pub groups: Vec<PushGroup>,
    /// Tags that the engine must be given after the export.
    pub local_tags: Vec<Reference>,
    /// Entitlements of the build.
    pub entitlements: Vec<String>,
    /// What a person should know, one line each.
    pub notes: Vec<String>,
}

/// A `BuildKit` exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exporter {
    /// Its type, such as `moby`.
    pub kind: &'static str,
    /// Its attributes.
    pub attrs: BTreeMap<String, String>,
}

/// How an image gets into its registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushMechanism {
    /// Not at all.
    None,
    /// `BuildKit` pushes while it exports.
    InSolve,
    /// Docker's REST API pushes after the export.
    EngineApi,
}

/// The tags of one repository: one is pushed, the others are manifest PUTs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushGroup {
    /// The tag that is pushed.
    pub first: Reference,
    /// The tags that follow it.
    pub rest: Vec<Reference>,
}

/// Decides where the result goes.
pub fn output(facts: Facts<'_>) -> Result<Output, Failure> {
    let Facts { request, capabilities, .. } = facts;
    if request.subrequest.is_some() {
        // Nothing is made that could be pushed, described, or too much for the engine.
        return Ok(Output {
            exporter: None,
            push: PushMechanism::None,
            groups: Vec::new(),
            local_tags: Vec::new(),
            entitlements: entitlements(facts)?,
            notes: Vec::new(),
        });
    }
    if request.push && request.tags.is_empty() {
        return Err(Failure::new(FailureKind::Usage, "--push without a tag: there is no name to push to")
            .next("name the image with -t REGISTRY/REPOSITORY:TAG"));
    }
    let one_image = request.export == Export::Image && capabilities.image_store == Some(ImageStore::Graphdriver);
    if request.platforms.len() > 1 && one_image {
        return Err(Failure::new(
            FailureKind::Usage,
            "this engine's graphdriver store holds one platform per image, and several were asked for",
        )
        .next("ask for one --platform, or give the engine the containerd image store"));
    }
    if request.export != Export::Image && (request.push || request.load) {
        return Err(Failure::new(
            FailureKind::Usage,
            "-o: what is exported is no image that could be pushed or loaded",
        )
        .next("build twice, once for each: the second time every step is cached"));
    }
    described::check(facts)?;
    let mut notes = Vec::new();
    let groups = if request.push { push_groups(&request.tags) } else { Vec::new() };
    let (mut exporter, push, local_tags) = destination(facts, &groups, &mut notes)?;
    if let Some(exporter) = &mut exporter {
        described::describe(exporter, request);
    }
    Ok(Output { exporter, push, groups, local_tags, entitlements: entitlements(facts)?, notes })
}

/// The tags by repository, in the order given.
pub fn push_groups(tags: &[Reference]) -> Vec<PushGroup> {
    let mut groups: Vec<PushGroup> = Vec::new();
    for tag in tags {
        match groups.iter_mut().find(|group| group.first.name() == tag.name()) {
            Some(group) if group.first == *tag || group.rest.contains(tag) => {}
            Some(group) => group.rest.push(tag.clone()),
            None => groups.push(PushGroup { first: tag.clone(), rest: Vec::new() }),
        }
    }
    groups
}

type Destination = (Option<Exporter>, PushMechanism, Vec<Reference>);

fn destination(facts: Facts<'_>, groups: &[PushGroup], notes: &mut Vec<String>) -> Result<Destination, Failure> {
    let Facts { request, capabilities, .. } = facts;
    let all = || request.tags.clone();
    let archive = match request.export {
        Export::Image => None,
        Export::CacheOnly => return Ok((None, PushMechanism::None, Vec::new())),
        Export::Tar => Some(exporter("tar", &[], [])),
        Export::Local => Some(exporter("local", &[], [])),
        Export::Oci => Some(exporter("oci", &all(), [])),
        Export::Docker => Some(exporter("docker", &all(), [])),
    };
    if let Some(archive) = archive {
        if !capabilities.exporters.contains(&archive.kind) {
            let what = format!("-o type={}: this engine has no such exporter", archive.kind);
            return Err(Failure::new(FailureKind::Usage, what)
                .next("use type=tar, or give the engine the containerd image store"));
        }
        return Ok((Some(archive), PushMechanism::None, Vec::new()));
    }
    match (capabilities.kind, capabilities.image_store) {
        (EngineKind::Dockerd, Some(ImageStore::Containerd)) if request.push => {
            let exporter = pushing_exporter(facts, groups, request.load)?;
            let local = if request.load { groups.iter().flat_map(|g| g.rest.clone()).collect() } else { Vec::new() };
            Ok((Some(exporter), PushMechanism::InSolve, local))
        }
        (EngineKind::Dockerd, _) => {
            // A graphdriver store can only push what it holds, so --push loads as well.
            let push = if request.push { PushMechanism::EngineApi } else { PushMechanism::None };
            Ok((Some(exporter("moby", &all(), [])), push, Vec::new()))
        }
        (EngineKind::Buildkitd, _) if request.load => {
            Err(Failure::new(FailureKind::Usage, "--load: the engine is a standalone buildkitd, which keeps no images")
                .next("use --push, or a Docker engine"))
        }
        (EngineKind::Buildkitd, _) if request.push => {
            Ok((Some(pushing_exporter(facts, groups, false)?), PushMechanism::InSolve, Vec::new()))
        }
        (EngineKind::Buildkitd, _) => {
            notes.push("without --push the result stays in the build cache of this buildkitd".to_owned());
            Ok((None, PushMechanism::None, Vec::new()))
        }
    }
}

/// An exporter that pushes the first tag of each repository; a manifest PUT makes each of the others.
fn pushing_exporter(facts: Facts<'_>, groups: &[PushGroup], load: bool) -> Result<Exporter, Failure> {
    let firsts: Vec<_> = groups.iter().map(|group| group.first.clone()).collect();
    let mut exporter = exporter("image", &firsts, [("push", "true")]);
    if load {
        exporter.attrs.insert("unpack".to_owned(), "true".to_owned());
    } else {
        // Nobody asked for the image here: neither its record nor its unpacked layers are worth their time.
        exporter.attrs.insert("store".to_owned(), "false".to_owned());
        exporter.attrs.insert("unpack".to_owned(), "false".to_owned());
    }
    if let Some(insecure) = firsts.iter().find(|tag| is_insecure(facts, tag)) {
        // The attribute would take the check of certificates from the others as well.
        if let Some(secure) = firsts.iter().find(|tag| !is_insecure(facts, tag)) {
            let (plain, tls) = (insecure.registry(), secure.registry());
            let what = format!("{plain} speaks plain HTTP and {tls} does not: this engine cannot push to both at once");
            return Err(Failure::new(FailureKind::Usage, what)
                .next("build twice, once for each: the second time every step is cached"));
        }
        exporter.attrs.insert("registry.insecure".to_owned(), "true".to_owned());
    }
    Ok(exporter)
}

/// An image of this name in a Docker engine.
pub fn local_image(name: &Reference) -> Exporter {
    exporter("moby", std::slice::from_ref(name), [])
}

/// An image that is pushed under this name, and kept nowhere else.
pub fn pushed_image(facts: Facts<'_>, name: &Reference) -> Exporter {
    let mut exporter =
        exporter("image", std::slice::from_ref(name), [("push", "true"), ("store", "false"), ("unpack", "false")]);
    if is_insecure(facts, name) {
        exporter.attrs.insert("registry.insecure".to_owned(), "true".to_owned());
    }
    exporter
}

/// The layers of an image, pushed to the repository of this name without any tag: what needs them there finds them.
pub fn pushed_blobs(facts: Facts<'_>, name: &Reference) -> Exporter {
    let mut exporter = pushed_image(facts, name);
    exporter.attrs.insert("name".to_owned(), name.name());
    exporter.attrs.insert("push-by-digest".to_owned(), "true".to_owned());
    exporter
}

fn exporter<const N: usize>(kind: &'static str, names: &[Reference], attrs: [(&str, &str); N]) -> Exporter {
    let mut attrs: BTreeMap<String, String> =
        attrs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    if !names.is_empty() {
        let names: Vec<_> = names.iter().map(Reference::to_string).collect();
        attrs.insert("name".to_owned(), names.join(","));
    }
    Exporter { kind, attrs }
}

pub(super) fn is_insecure(facts: Facts<'_>, reference: &Reference) -> bool {
    facts.insecure.iter().any(|host| host == reference.registry())
}

fn entitlements(facts: Facts<'_>) -> Result<Vec<String>, Failure> {
    const HOST: &str = "network.host";
    const KNOWN: [&str; 2] = [HOST, "security.insecure"];
    let request = facts.request;
    let for_network = (request.network == Network::Host).then_some(("--network host", HOST));
    let asked = request.entitlements.iter().map(|entitlement| ("--allow", entitlement.as_str()));
    let mut all = Vec::new();
    for (flag, wanted) in for_network.into_iter().chain(asked) {
        if !facts.allowed.iter().any(|allowed| allowed == wanted) {
            if !KNOWN.contains(&wanted) {
                let what = format!("{flag}: there is no entitlement '{wanted}'");
                return Err(Failure::new(FailureKind::Usage, what).next(format!("name one of {}", KNOWN.join(", "))));
            }
            let what = format!("{flag}: this agent does not allow the entitlement {wanted}");
            return Err(Failure::new(FailureKind::Policy, what)
                .next(format!("build without it, or start the agent with --allow-entitlement {wanted}")));
        }
        if !all.iter().any(|known| known == wanted) {
            all.push(wanted.to_owned());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
