//! Texts without what nobody should read.

use std::borrow::Cow;

/// The text with no name and no password in its URLs. A name alone stays where it opens nothing, as in `ssh://git@host`.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    if !text.contains("://") || !text.contains('@') {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'`<>".contains(c)).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        clean.push_str(before);
        clean.push_str(match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') || !before.ends_with("ssh://") => host,
            _ => authority,
        });
        rest = behind;
    }
    clean.push_str(rest);
    clean.into()
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (text, shown) in [
            ("no URL, me@host", "no URL, me@host"),
            ("https://host/a@b", "https://host/a@b"),
            ("load git source https://token@host/a.git#b", "load git source https://host/a.git#b"),
            (
                "[context a] https://me:p@ss@host:1/x?y=z@w, and http://u:p@h",
                "[context a] https://host:1/x?y=z@w, and http://h",
            ),
            ("ssh://git@host/a ssh://git:p@host", "ssh://git@host/a ssh://host"),
            ("\"https://u:p@h\"://@", "\"https://h\"://"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
