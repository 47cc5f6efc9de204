//! Flags for what the client lends to steps: secrets and SSH agents.

use std::path::PathBuf;

use clap::Args;

use crate::{
    cli::usage,
    model::Failure,
    session::{Secret, Secrets, SshAgents},
};

#[derive(Args)]
#[command(next_help_heading = "Secrets and SSH")]
#[allow(clippy::doc_markdown)] // --help shows them as they are
pub(in crate::cli) struct Lent {
    /// A secret for RUN --mount=type=secret,id=ID, of which the image keeps nothing: a file, or with env=NAME in place of
    /// src=FILE a variable of the environment; repeatable [default: the variable ID, else the file ID]
    #[arg(long = "secret", value_name = "id=ID[,src=FILE]")]
    secrets: Vec<String>,
    /// An SSH agent for RUN --mount=type=ssh, by its socket, or private keys without a passphrase; most often it is
    /// --ssh default; repeatable [default: the agent at SSH_AUTH_SOCK]
    #[arg(long = "ssh", value_name = "ID[=SOCKET|KEY[,KEY]]", value_parser = ssh)]
    ssh: Vec<(String, Paths)>,
}

impl Lent {
    /// What is lent; all of it is there.
    pub(in crate::cli) fn open(self) -> Result<(Secrets, SshAgents), Failure> {
        let mut secrets = Secrets::default();
        // Read here: of a value that it cannot read, the parser of flags shows all, and it may hold the secret itself.
        for text in &self.secrets {
            let next = "name its place, as in --secret id=npmrc,src=FILE";
            let (id, secret) = secret(text).map_err(|why| usage(format!("--secret: {why}")).next(next))?;
            // As Docker has it: a variable of that name, else a file.
            let secret = secret.unwrap_or_else(|| match std::env::var_os(&id) {
                Some(_) => Secret::Variable(id.clone().into()),
                None => Secret::File(id.clone().into()),
            });
            secret
                .check()
                .map_err(|why| usage(format!("--secret id={id}: {why}")).next("name what is there, or leave it out"))?;
            secrets.0.insert(id, secret);
        }
        let mut agents = SshAgents::default();
        for (id, Paths(mut paths)) in self.ssh {
            let next =
                "start one with: eval $(ssh-agent); ssh-add; or name its socket or a key, as in --ssh default=/path";
            if paths.is_empty() {
                let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty());
                paths.push(PathBuf::from(socket.ok_or_else(|| {
                    usage(format!("--ssh {id}: no SSH agent is known, for SSH_AUTH_SOCK is not set")).next(next)
                })?));
            }
            agents.add(id.clone(), &paths).map_err(|why| usage(format!("--ssh {id}: {why}")).next(next))?;
        }
        Ok((secrets, agents))
    }
}

/// `id=ID[,type=file|env][,src=FILE][,env=VARIABLE]`, as Docker takes it. The value's place alone is kept.
fn secret(text: &str) -> Result<(String, Option<Secret>), String> {
    let (mut id, mut kind, mut source, mut variable) = (None, None, None, None);
    for field in super::values::fields(text) {
        let (key, value) = field?;
        let place = match key.to_ascii_lowercase().as_str() {
            "id" => &mut id,
            "type" => &mut kind,
            "src" | "source" => &mut source,
            "env" => &mut variable,
            _ => return Err(format!("there is no '{key}': id, type, src and env are known")),
        };
        *place = Some(value.to_owned());
    }
    let id = id.filter(|id| !id.is_empty()).ok_or("a secret needs an id, as in id=npmrc,src=FILE")?;
    let secret = match (kind.as_deref(), source, variable) {
        (None, None, None) => None,
        (Some("file"), None, None) => Some(Secret::File(id.clone().into())),
        (Some("env"), None, None) => Some(Secret::Variable(id.clone().into())),
        (Some("env"), Some(name), None) | (None | Some("env"), None, Some(name)) => Some(Secret::Variable(name.into())),
        (None | Some("file"), Some(path), None) => Some(Secret::File(path.into())),
        (Some("file" | "env") | None, _, _) => return Err("a secret is either a file or a variable".to_owned()),
        (Some(other), _, _) => return Err(format!("there is no type '{other}': file and env are known")),
    };
    Ok((id, secret))
}

/// A socket, or keys; none where the environment tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Paths(Vec<PathBuf>);

fn ssh(text: &str) -> Result<(String, Paths), String> {
    let (id, paths) = match text.split_once('=') {
        Some((id, paths)) => (id, paths.split(',').map(PathBuf::from).collect()),
        None => (text, Vec::new()),
    };
    if id.is_empty() || paths.iter().any(|path| path.as_os_str().is_empty()) {
        return Err("an SSH agent is ID, ID=SOCKET or ID=KEY, such as default".to_owned());
    }
    Ok((id.to_owned(), Paths(paths)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn secrets_are_named_as_docker_names_them() {
        let file = |path: &str| Some(Secret::File(path.into()));
        let variable = |name: &str| Some(Secret::Variable(name.into()));
        for (text, wanted) in [
            ("id=a", None),
            ("id=a,src=f", file("f")),
            ("type=file,source=f,id=a", file("f")),
            ("id=a,type=file", file("a")),
            ("id=a,env=V", variable("V")),
            ("id=a,type=env", variable("a")),
            ("id=a,type=env,src=V", variable("V")),
        ] {
            assert_eq!(secret(text).unwrap(), ("a".to_owned(), wanted), "{text}");
        }
        for odd in
            ["", "a", "src=f", "id=", "id=a,type=vault", "id=a,src=f,env=V", "id=a,mode=1", "id=a,type=file,env=V"]
        {
            assert!(secret(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn an_ssh_agent_is_an_id_and_where_it_listens() {
        let paths = |paths: &[&str]| Paths(paths.iter().map(PathBuf::from).collect());
        assert_eq!(ssh("default").unwrap(), ("default".to_owned(), paths(&[])));
        assert_eq!(ssh("git=/run/a").unwrap(), ("git".to_owned(), paths(&["/run/a"])));
        assert_eq!(ssh("git=/a,/b").unwrap(), ("git".to_owned(), paths(&["/a", "/b"])));
        assert!(ssh("").is_err() && ssh("=x").is_err() && ssh("a=").is_err());
    }
}
