//! What the argument CONTEXT of a build names. Pure.

/// Where a build context comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextKind {
    /// A directory of the client, whether it exists or not.
    Directory,
    /// Standard input: an archive, or a Dockerfile that needs no context.
    Stdin,
    /// A git repository, which may be followed by `#REF:DIRECTORY`.
    Git,
    /// What http or https serves: an archive, or a Dockerfile that needs no context.
    Url,
}

impl ContextKind {
    /// Reads it as Docker's clients do. A directory that exists wins, whatever its name.
    pub fn of(text: &str, exists: bool) -> Self {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
        match () {
            () if text == "-" => Self::Stdin,
            () if exists => Self::Directory,
            () if begins(&["git://", "ssh://", "github.com/"]) || is_scp(text) => Self::Git,
            () if begins(&["http://", "https://"]) => {
                let path = text.split(['#', '?']).next().unwrap_or_default();
                if path.strip_suffix(".git").is_some() { Self::Git } else { Self::Url }
            }
            () => Self::Directory,
        }
    }

    /// Whether the engine fetches it.
    pub fn is_remote(self) -> bool {
        matches!(self, Self::Git | Self::Url)
    }
}

/// Whether this is `USER@HOST:PATH`, as git and scp have it.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, _)) = rest.split_once(':') else { return false };
    let word = |part: &str, also: &[u8]| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
    };
    word(user, b"-_") && word(host, b"-.")
}

#[cfg(test)]
mod tests {
    use super::ContextKind::{self, Directory, Git, Stdin, Url};

    #[test]
    fn contexts_are_told_apart_as_docker_does() {
        let table = [
            ("-", Stdin),
            (".", Directory),
            ("", Directory),
            ("hack/dockerfiles", Directory),
            ("./git@host:path", Directory),
            ("../github.com/group/repo", Directory),
            ("/srv/a.git", Directory),
            ("ftp://host/a.tar", Directory),
            ("docker-image://alpine", Directory),
            ("user@host", Directory),
            ("@host:path", Directory),
            ("us er@host:path", Directory),
            ("git@host:group/repo.git", Git),
            ("git@host:group/repo#main:sub", Git),
            ("deploy_1@git-host.example:repo", Git),
            ("ssh://git@host:2222/group/repo", Git),
            ("git://host/repo", Git),
            ("github.com/group/repo", Git),
            ("github.com/group/repo#main", Git),
            ("https://host/group/repo.git", Git),
            ("http://host:8080/repo.git#v1:dir/sub", Git),
            ("https://host/repo.git?branch=main&subdir=a", Git),
            ("https://user:token@host/repo.git", Git),
            ("https://host/group/repo", Url),
            ("https://host/repo.git/archive.tar.gz", Url),
            ("https://host/a.tar.gz?x=.git", Url),
            ("https://host/a.tar.gz#.git", Url),
            ("http://host/Dockerfile", Url),
        ];
        for (text, kind) in table {
            assert_eq!(ContextKind::of(text, false), kind, "{text}");
        }
    }

    #[test]
    fn a_directory_that_exists_is_what_is_meant() {
        assert_eq!(ContextKind::of("github.com/group/repo", true), Directory);
        assert_eq!(ContextKind::of("-", true), Stdin);
    }
}
