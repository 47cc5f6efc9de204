//! Flags for what is said of an image: annotations and attestations.

use std::collections::BTreeMap;

use clap::Args;

use super::given::truth;
use crate::model::{Annotated, Annotation, check_attestation};

#[derive(Args)]
#[command(next_help_heading = "Image")]
pub(in crate::cli) struct Described {
    /// Give the image an annotation, such as org.opencontainers.image.version=1.2; TYPE is manifest (the default), index,
    /// manifest-descriptor or index-descriptor, with a platform in brackets after it where it is for one alone;
    /// repeatable
    #[arg(long = "annotation", value_name = "[TYPE:]KEY=VALUE", value_parser = annotation)]
    annotations: Vec<Annotations>,
    /// Attach a record to the image: type=provenance (how it was built) or type=sbom (the packages in it), with its
    /// parameters; repeatable [default: none]
    #[arg(long = "attest", value_name = "type=TYPE[,KEY=VALUE]", value_parser = attest)]
    attest: Vec<Attest>,
    /// Attach a record of how the image was built: true, false, or parameters such as mode=max; short for --attest
    /// type=provenance
    #[arg(long, value_name = "VALUE", value_parser = |text: &str| short("provenance", text))]
    provenance: Option<Attest>,
    /// Attach a list of the packages in the image: true, false, or parameters such as generator=IMAGE; short for --attest
    /// type=sbom
    #[arg(long, value_name = "VALUE", value_parser = |text: &str| short("sbom", text))]
    sbom: Option<Attest>,
}

/// What one flag asks for: the same of each of its types.
type Annotations = Vec<Annotation>;

/// An attestation by its type: its parameters, or that it is not wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attest(String, Option<String>);

impl Described {
    /// What is asked for. Of several attestations of a type the first counts, as with Docker.
    pub(in crate::cli) fn request(self) -> (Vec<Annotation>, BTreeMap<String, String>) {
        let mut attestations = BTreeMap::new();
        for Attest(kind, parameters) in self.attest.into_iter().chain(self.provenance).chain(self.sbom) {
            attestations.entry(kind).or_insert(parameters);
        }
        let wanted = attestations.into_iter().filter_map(|(kind, parameters)| Some((kind, parameters?)));
        (self.annotations.into_iter().flatten().collect(), wanted.collect())
    }
}

/// `[TYPE[PLATFORM],...:]KEY=VALUE`
fn annotation(text: &str) -> Result<Annotations, String> {
    let (key, value) = text.split_once('=').ok_or("an annotation is KEY=VALUE")?;
    let (types, key) = key.split_once(':').unwrap_or(("manifest", key));
    let annotation = |text: &str| {
        let (of, platform) = match text.split_once('[') {
            Some((of, rest)) => (of, Some(rest.strip_suffix(']').ok_or("a platform stands in [brackets]")?)),
            None => (text, None),
        };
        let of = Annotated::parse(of).ok_or(
            "the types are manifest, index, manifest-descriptor and index-descriptor, as in manifest:KEY=VALUE",
        )?;
        let platform = platform.map(str::to_owned);
        let annotation = Annotation { of, platform, key: key.to_owned(), value: value.to_owned() };
        annotation.check()?;
        Ok(annotation)
    };
    types.split(',').map(annotation).collect()
}

/// `type=TYPE[,disabled=true][,KEY=VALUE]`
fn attest(text: &str) -> Result<Attest, String> {
    let (mut kind, mut disabled, mut parameters) = ("", false, Vec::new());
    for field in super::values::fields(text) {
        match field? {
            ("type", value) => kind = value,
            ("disabled", value) => disabled = truth(value).ok_or("disabled is true or false")?,
            (key, value) => parameters.push(format!("{key}={value}")),
        }
    }
    let parameters = parameters.join(",");
    check_attestation(kind, &parameters)?;
    Ok(Attest(kind.to_owned(), (!disabled).then_some(parameters)))
}

fn short(kind: &str, text: &str) -> Result<Attest, String> {
    match truth(text) {
        Some(wanted) => Ok(Attest(kind.to_owned(), wanted.then(String::new))),
        None => attest(&format!("type={kind},{text}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn annotations_are_given_as_docker_takes_them() {
        let read = |text: &str| {
            let shown = |a: Annotation| (a.of.as_str(), a.platform, a.key, a.value);
            annotation(text).unwrap().into_iter().map(shown).collect::<Vec<_>>()
        };
        let one = |of, platform: Option<&str>, key: &str, value: &str| {
            (of, platform.map(str::to_owned), key.to_owned(), value.to_owned())
        };
        assert_eq!(read("a.b=c=d"), [one("manifest", None, "a.b", "c=d")]);
        assert_eq!(read("index:a="), [one("index", None, "a", "")]);
        assert_eq!(read("a=http://b"), [one("manifest", None, "a", "http://b")]);
        assert_eq!(
            read("manifest[linux/amd64],manifest-descriptor:a=b"),
            [one("manifest", Some("linux/amd64"), "a", "b"), one("manifest-descriptor", None, "a", "b")]
        );
        for odd in ["a", "=b", "manifest:=b", "layer:a=b", ":a=b", "manifest[linux:a=b", "a b=c", "index[linux]:a=b"] {
            assert!(annotation(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn attestations_are_given_as_docker_takes_them() {
        let wanted = |kind: &str, parameters: &str| Ok(Attest(kind.to_owned(), Some(parameters.to_owned())));
        let unwanted = |kind: &str| Ok(Attest(kind.to_owned(), None));
        assert_eq!(attest("type=provenance,mode=max,version=v1"), wanted("provenance", "mode=max,version=v1"));
        assert_eq!(attest("type=sbom,disabled=true"), unwanted("sbom"));
        assert_eq!(short("provenance", "true"), wanted("provenance", ""));
        assert_eq!(short("provenance", "mode=max"), wanted("provenance", "mode=max"));
        assert_eq!(short("sbom", "0"), unwanted("sbom"));
        for odd in ["", "provenance", "type=vex", "mode=max", "type=sbom,disabled=perhaps", "type=provenance,mode=0"] {
            assert!(attest(odd).is_err(), "{odd}");
        }
        assert!(short("sbom", "yes").is_err());
    }

    #[test]
    fn the_first_of_a_type_counts() {
        let asked = Described {
            annotations: Vec::new(),
            attest: vec![attest("type=provenance,disabled=true").unwrap()],
            provenance: Some(short("provenance", "mode=max").unwrap()),
            sbom: Some(short("sbom", "true").unwrap()),
        };
        assert_eq!(asked.request().1, [("sbom".to_owned(), String::new())].into());
    }
}
