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
    /// Something else than an image of the engine, and the file that takes it; `None` is standard output.
    Export(Export, Option<PathBuf>),
}

/// `type=TYPE[,dest=FILE][,name=NAME][,push=true]`, or `-`.
pub(super) fn output(text: &str) -> Result<Output, String> {
    if text == "-" {
        return Ok(Output::Export(Export::Tar, None));
    }
    if !text.contains('=') {
        return Err("exports to a directory are not here yet: type=tar,dest=FILE writes an archive".to_owned());
    }
    let (mut kind, mut dest, mut names, mut push) = ("", None, Vec::new(), false);
    for field in text.split(',') {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("'{field}' is no KEY=VALUE"))?;
        match key {
            "type" => kind = value,
            "dest" => dest = Some(value).filter(|dest| *dest != "-").map(PathBuf::from),
            "name" => names.push(super::tag(value)?),
            "push" => push = value.parse().map_err(|_| "push is true or false".to_owned())?,
            _ => return Err(format!("'{key}' is not here yet: type, dest, name and push are")),
        }
    }
    match kind {
        "registry" => Ok(Output::Push(names)),
        "image" if push => Ok(Output::Push(names)),
        "image" => Ok(Output::Load(names)),
        "docker" if dest.is_none() && !text.contains("dest=") => Ok(Output::Load(names)),
        "docker" => Ok(Output::Export(Export::Docker, dest)),
        "oci" => Ok(Output::Export(Export::Oci, dest)),
        "tar" => Ok(Output::Export(Export::Tar, dest)),
        "cacheonly" => Ok(Output::Export(Export::CacheOnly, None)),
        "local" => Err("exports to a directory are not here yet: type=tar,dest=FILE writes an archive".to_owned()),
        _ => Err(format!("there is no type '{kind}': registry, image, docker, oci, tar and cacheonly are known")),
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
            ("-", Output::Export(Export::Tar, None)),
            ("type=tar,dest=-", Output::Export(Export::Tar, None)),
            ("type=tar,dest=a.tar", Output::Export(Export::Tar, file("a.tar"))),
            ("type=oci,dest=a.tar", Output::Export(Export::Oci, file("a.tar"))),
            ("type=docker,dest=a.tar", Output::Export(Export::Docker, file("a.tar"))),
            ("type=docker,dest=-", Output::Export(Export::Docker, None)),
            ("type=docker", Output::Load(Vec::new())),
            ("type=cacheonly", Output::Export(Export::CacheOnly, None)),
            ("type=registry", Output::Push(Vec::new())),
            ("type=image,name=r.example/app:1,push=true", Output::Push(named())),
            ("type=image,name=r.example/app:1", Output::Load(named())),
        ] {
            assert_eq!(output(text), Ok(wanted), "{text}");
        }
        for odd in [
            "dir",
            "type=local,dest=dir",
            "type=zip",
            "dest=x",
            "type=tar,level=9",
            "type=image,push=maybe",
            "type=tar,x",
        ] {
            assert!(output(odd).is_err(), "{odd}");
        }
    }
}
