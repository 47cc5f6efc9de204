//! What somebody logs in to a registry with.

use std::fmt;

/// What somebody logs in with. `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credential {
    /// Nobody.
    #[default]
    Anonymous,
    /// A user and a password, or a token that serves as one.
    Basic {
        /// Name of the user.
        username: String,
        /// The password.
        secret: String,
    },
    /// An OAuth2 refresh token, as Docker's configuration keeps it under `identitytoken`.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(..)",
            Self::IdentityToken(_) => "IdentityToken(..)",
        })
    }
}
