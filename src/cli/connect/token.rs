//! Shows the agent a token, where there is one.

use std::{io::ErrorKind, path::PathBuf};

use tonic::{
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

use crate::{cli::usage, model::Failure, wire};

/// Where Kubernetes projects a service account's token, as our examples have it.
const PROJECTED: &str = "/var/run/secrets/remora/token";

/// Puts the token into each call.
#[derive(Clone)]
pub(in crate::cli) enum Token {
    /// The same for each call.
    Given(MetadataValue<Ascii>),
    /// Read for each call: Kubernetes replaces its tokens before they expire.
    File {
        path: PathBuf,
        /// Somebody named the file, so it has to be there.
        named: bool,
    },
}

impl Token {
    /// `REMORA_TOKEN`, else the file that `REMORA_TOKEN_FILE` names, else the projected one where that exists.
    /// `variable` looks one up; an empty one says nothing.
    pub(super) fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(token) = set("REMORA_TOKEN") {
            return header(&token, "REMORA_TOKEN").map(Self::Given);
        }
        let named = set("REMORA_TOKEN_FILE");
        let token =
            Self::File { named: named.is_some(), path: named.map_or_else(|| PathBuf::from(PROJECTED), PathBuf::from) };
        // A mistake is told before anybody is waited for.
        token.now().map(|_| token)
    }

    /// The token as it is now.
    fn now(&self) -> Result<Option<MetadataValue<Ascii>>, Failure> {
        let (path, named) = match self {
            Self::Given(token) => return Ok(Some(token.clone())),
            Self::File { path, named } => (path, *named),
        };
        let place = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) if text.trim().is_empty() => Err(usage(format!("the token in {place} is empty"))),
            Ok(text) => header(text.trim(), &place).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound && !named => Ok(None),
            Err(error) => Err(usage(format!("cannot read the token in {place}: {error}"))
                .next("name a file with REMORA_TOKEN_FILE that this user can read, or set REMORA_TOKEN")),
        }
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = self.now().map_err(wire::to_status)? {
            request.metadata_mut().insert("authorization", token);
        }
        Ok(request)
    }
}

fn header(token: &str, place: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| {
        usage(format!("the token in {place} holds a character that cannot be sent"))
            .next("use letters, digits and signs only")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn find(variables: &[(&str, &str)]) -> Result<Token, Failure> {
        Token::find(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn shown(token: &Token) -> Option<String> {
        Some(token.now().unwrap()?.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_token_that_kubernetes_replaced_is_the_one_that_is_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "one\n").unwrap();
        let path = file.path().to_str().unwrap();
        let token = find(&[("REMORA_TOKEN", ""), ("REMORA_TOKEN_FILE", path)]).unwrap();
        assert_eq!(shown(&token).as_deref(), Some("Bearer one"));
        std::fs::write(&file, "two").unwrap();
        assert_eq!(shown(&token).as_deref(), Some("Bearer two"));
        let token = find(&[("REMORA_TOKEN", "given"), ("REMORA_TOKEN_FILE", path)]).unwrap();
        assert_eq!(shown(&token).as_deref(), Some("Bearer given"));
        assert!(!format!("{:?}", token.now().unwrap()).contains("given"), "it can be printed");
    }

    #[test]
    fn a_token_that_is_named_and_cannot_be_had_is_a_mistake() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        for (variables, word) in [
            ([("REMORA_TOKEN_FILE", path)], "is empty"),
            ([("REMORA_TOKEN_FILE", "/nowhere/token")], "/nowhere/token: No such file"),
            ([("REMORA_TOKEN", "a\nb")], "REMORA_TOKEN holds a character"),
        ] {
            let failure = find(&variables).err().unwrap();
            assert!(failure.what.contains(word) && !failure.what.contains("a\nb"), "{failure}");
        }
    }
}
