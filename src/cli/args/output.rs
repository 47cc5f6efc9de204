//! `-o`: where the result goes.

use std::path::PathBuf;

use crate::model::{Export, Reference};

/// What one `-o` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Output {
    /// `--push`, and further names.
    Push(Vec<Reference>),
    /// `--load`, and further names.
    Load(Vec<Reference>),
    /// Something else than an image of the engine, the file or directory that takes it, where `None` is standard output, and further
    /// names.
    Export(Export, Option<PathBuf>, Vec<Reference>),
}

/// `type=TYPE[,dest=PLACE][,name=NAME][,push=true]`, a directory, or `-`.
pub(super) fn output(text: &str) -> Result<Output, String> {
    if text == "-" {
        return Ok(Output::Export(Export::Tar, None, Vec::new()));
    }
    if !text.is_empty() && !text.contains('=') {
        return Ok(Output::Export(Export::Local, Some(PathBuf::from(text)), Vec::new()));
    }
    let (mut kind, mut dest, mut names, mut push) = ("", None, Vec::new(), None);
    for field in super::values::fields(text) {
        let (key, value) = field?;
        match key {
            "type" => kind = value,
            "dest" => dest = Some(Some(value).filter(|dest| *dest != "-").map(PathBuf::from)),
            "name" => names.push(super::values::tag(value)?),
            "push" => push = Some(value.parse().map_err(|_| "push is true or false".to_owned())?),
            _ => return Err(format!("'{key}' is not here yet: type, dest, name and push are")),
        }
    }
    match (kind, dest, push) {
        ("registry", None, None | Some(true)) | ("image", None, Some(true)) => Ok(Output::Push(names)),
        ("image", None, _) | ("docker", None, None) => Ok(Output::Load(names)),
        ("docker", Some(dest), None) => Ok(Output::Export(Export::Docker, dest, names)),
        ("oci", dest, None) => Ok(Output::Export(Export::Oci, dest.flatten(), names)),
        ("tar", dest, None) if names.is_empty() => Ok(Output::Export(Export::Tar, dest.flatten(), names)),
        ("cacheonly", None, None) if names.is_empty() => Ok(Output::Export(Export::CacheOnly, None, names)),
        ("local", Some(Some(dest)), None) if names.is_empty() && !dest.as_os_str().is_empty() => {
            Ok(Output::Export(Export::Local, Some(dest), names))
        }
        ("local", ..) => Err("type=local needs a directory, as in type=local,dest=DIR, and nothing else".to_owned()),
        ("registry" | "image" | "docker" | "oci" | "tar" | "cacheonly", ..) => {
            Err(format!("type={kind} does not go with the rest of it"))
        }
        _ => {
            Err(format!("there is no type '{kind}': registry, image, docker, oci, tar, local and cacheonly are known"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn results_go_where_docker_has_them_go() {
        let file = |path: &str| Some(PathBuf::from(path));
        let named = || vec!["r.example/app:1".parse().unwrap()];
        for (text, wanted) in [
            ("-", Output::Export(Export::Tar, None, Vec::new())),
            ("type=tar,dest=-", Output::Export(Export::Tar, None, Vec::new())),
            ("type=tar,dest=a.tar", Output::Export(Export::Tar, file("a.tar"), Vec::new())),
            ("type=oci,dest=a.tar", Output::Export(Export::Oci, file("a.tar"), Vec::new())),
            ("type=docker,dest=a.tar", Output::Export(Export::Docker, file("a.tar"), Vec::new())),
            ("type=docker,dest=-", Output::Export(Export::Docker, None, Vec::new())),
            ("type=docker,dest=a.tar,name=r.example/app:1", Output::Export(Export::Docker, file("a.tar"), named())),
            ("dir/out", Output::Export(Export::Local, file("dir/out"), Vec::new())),
            ("type=local,dest=dir", Output::Export(Export::Local, file("dir"), Vec::new())),
            ("type=docker", Output::Load(Vec::new())),
            ("type=cacheonly", Output::Export(Export::CacheOnly, None, Vec::new())),
            ("type=registry", Output::Push(Vec::new())),
            ("type=image,name=r.example/app:1,push=true", Output::Push(named())),
            ("type=image,name=r.example/app:1", Output::Load(named())),
        ] {
            assert_eq!(output(text), Ok(wanted), "{text}");
        }
        for odd in [
            "",
            "type=local",
            "type=local,dest=",
            "type=local,dest=-",
            "type=local,dest=dir,name=r.example/a:1",
            "type=zip",
            "dest=x",
            "type=tar,level=9",
            "type=image,push=maybe",
            "type=registry,push=false",
            "type=docker,push=true",
            "type=image,dest=x",
            "type=tar,name=r.example/a:1",
            "type=tar,x",
        ] {
            assert!(output(odd).is_err(), "{odd}");
        }
    }
}
