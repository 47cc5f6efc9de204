//! `-o`: where the result goes.

use std::{collections::BTreeMap, path::PathBuf};

use crate::model::{Export, Reference, check_export_option};

/// What one `-o` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Output {
    pub(in crate::cli) goal: Goal,
    /// Names beside those of `-t`.
    pub(in crate::cli) names: Vec<Reference>,
    /// How it is made.
    pub(in crate::cli) options: BTreeMap<String, String>,
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Goal {
    /// As `--push`.
    Push,
    /// As `--load`.
    Load,
    /// Something else than an image of the engine, and the file or directory that takes it: `None` is standard output.
    Export(Export, Option<PathBuf>),
}

impl From<Goal> for Output {
    fn from(goal: Goal) -> Self {
        Self { goal, names: Vec::new(), options: BTreeMap::new() }
    }
}

/// `type=TYPE[,dest=PLACE][,name=NAME][,push=true][,OPTION=VALUE]`, a directory, or `-`.
pub(super) fn output(text: &str) -> Result<Output, String> {
    if text == "-" {
        return Ok(Goal::Export(Export::Tar, None).into());
    }
    if !text.is_empty() && !text.contains('=') {
        return Ok(Goal::Export(Export::Local, Some(PathBuf::from(text))).into());
    }
    let (mut kind, mut dest, mut names, mut push, mut options) = ("", None, Vec::new(), None, BTreeMap::new());
    for field in super::values::fields(text) {
        let (key, value) = field?;
        match key {
            "type" => kind = value,
            "dest" => dest = Some(Some(value).filter(|dest| *dest != "-").map(PathBuf::from)),
            "name" => names.push(super::values::tag(value)?),
            "push" => push = Some(value.parse().map_err(|_| "push is true or false".to_owned())?),
            _ => drop(options.insert(key.to_owned(), value.to_owned())),
        }
    }
    let goal = match (kind, dest, push) {
        ("registry", None, None | Some(true)) | ("image", None, Some(true)) => Goal::Push,
        ("image", None, _) | ("docker", None, None) => Goal::Load,
        ("docker", Some(dest), None) => Goal::Export(Export::Docker, dest),
        ("oci", dest, None) => Goal::Export(Export::Oci, dest.flatten()),
        ("tar", dest, None) if names.is_empty() => Goal::Export(Export::Tar, dest.flatten()),
        ("cacheonly", None, None) if names.is_empty() => Goal::Export(Export::CacheOnly, None),
        ("local", Some(Some(dest)), None) if names.is_empty() && !dest.as_os_str().is_empty() => {
            Goal::Export(Export::Local, Some(dest))
        }
        ("local", ..) => return Err("type=local needs a directory, as in type=local,dest=DIR, and no name".to_owned()),
        ("registry" | "image" | "docker" | "oci" | "tar" | "cacheonly", ..) => {
            return Err(format!("type={kind} does not go with the rest of it"));
        }
        _ => {
            let known = "registry, image, docker, oci, tar, local and cacheonly";
            return Err(format!("there is no type '{kind}': {known} are known"));
        }
    };
    let export = if let Goal::Export(export, _) = goal { export } else { Export::Image };
    options.keys().try_for_each(|option| check_export_option(export, option))?;
    Ok(Output { goal, names, options })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn results_go_where_docker_has_them_go() {
        let file = |path: &str| Some(PathBuf::from(path));
        let named = |goal| Output { names: vec!["r.example/app:1".parse().unwrap()], ..Output::from(goal) };
        let zstd =
            |goal| Output { options: [("compression".to_owned(), "zstd".to_owned())].into(), ..Output::from(goal) };
        for (text, wanted) in [
            ("-", Goal::Export(Export::Tar, None).into()),
            ("type=tar,dest=-", Goal::Export(Export::Tar, None).into()),
            ("type=tar,dest=a.tar", Goal::Export(Export::Tar, file("a.tar")).into()),
            ("type=oci,dest=a.tar", Goal::Export(Export::Oci, file("a.tar")).into()),
            ("type=docker,dest=a.tar", Goal::Export(Export::Docker, file("a.tar")).into()),
            ("type=docker,dest=-", Goal::Export(Export::Docker, None).into()),
            ("type=docker,dest=a.tar,name=r.example/app:1", named(Goal::Export(Export::Docker, file("a.tar")))),
            ("dir/out", Goal::Export(Export::Local, file("dir/out")).into()),
            ("type=local,dest=dir", Goal::Export(Export::Local, file("dir")).into()),
            ("type=docker", Goal::Load.into()),
            ("type=cacheonly", Goal::Export(Export::CacheOnly, None).into()),
            ("type=registry", Goal::Push.into()),
            ("type=registry,compression=zstd", zstd(Goal::Push)),
            ("type=oci,dest=a.tar,compression=zstd", zstd(Goal::Export(Export::Oci, file("a.tar")))),
            ("type=image,name=r.example/app:1,push=true", named(Goal::Push)),
            ("type=image,name=r.example/app:1", named(Goal::Load)),
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
            "type=tar,compression=zstd",
            "type=local,dest=d,mode=delete",
            "type=image,store=false",
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
