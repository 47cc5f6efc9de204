//! `--call` and `--check`: what the Dockerfile is asked instead of being built.

use clap::Args;

use crate::model::Subrequest;

#[derive(Args)]
pub(in crate::cli) struct Call {
    /// Build, or only read the Dockerfile: check looks for mistakes, outline lists its args and secrets, targets its
    /// stages; with ,format=json as JSON
    #[arg(long, value_name = "build|check|outline|targets", default_value = "build", value_parser = call)]
    call: Asked,
    /// Look for mistakes in the Dockerfile, and build nothing; short for --call=check
    #[arg(long)]
    check: bool,
}

/// What is asked, and how the answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Asked {
    /// `None` builds.
    pub(in crate::cli) subrequest: Option<Subrequest>,
    pub(in crate::cli) json: bool,
    /// Whether the exit code says nothing of what was found.
    pub(in crate::cli) ignore_status: bool,
}

impl Call {
    pub(in crate::cli) fn asked(&self) -> Asked {
        if self.check { Asked { subrequest: Some(Subrequest::Lint), ..self.call } } else { self.call }
    }
}

/// `NAME[,format=text|json][,ignorestatus=true]`
fn call(text: &str) -> Result<Asked, String> {
    let mut asked = Asked { subrequest: None, json: false, ignore_status: false };
    let mut name = None;
    for field in text.split(',') {
        match field.split_once('=') {
            None if name.is_none() => name = Some(field),
            Some(("format", format @ ("json" | "text"))) => asked.json = format == "json",
            Some(("format", other)) => return Err(format!("there is no format '{other}': text and json are known")),
            Some(("ignorestatus", value)) => {
                asked.ignore_status = value.parse().map_err(|_| "ignorestatus is true or false".to_owned())?;
            }
            _ => return Err(format!("'{field}' is not known here: NAME[,format=json][,ignorestatus=true]")),
        }
    }
    asked.subrequest = match name.unwrap_or("build") {
        "build" => None,
        "check" | "lint" => Some(Subrequest::Lint),
        "outline" => Some(Subrequest::Outline),
        "targets" => Some(Subrequest::Targets),
        other => return Err(format!("there is no '{other}': build, check, outline and targets are known")),
    };
    Ok(asked)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_call_is_named_as_docker_names_it() {
        let subrequest = |text| call(text).unwrap().subrequest;
        assert_eq!(subrequest("build"), None);
        assert_eq!(subrequest("build,format=json"), None);
        assert_eq!((subrequest("check"), subrequest("lint")), (Some(Subrequest::Lint), Some(Subrequest::Lint)));
        let asked = call("outline,format=json,ignorestatus=true").unwrap();
        assert_eq!(asked, Asked { subrequest: Some(Subrequest::Outline), json: true, ignore_status: true });
        for odd in ["", "test", "check,outline", "check,format=xml", "check,ignorestatus=2", "check,depth=1"] {
            assert!(call(odd).is_err(), "{odd}");
        }
    }
}
