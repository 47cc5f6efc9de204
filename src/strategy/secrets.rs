//! Build args that look like secrets: whatever is passed that way can be read in the image's history.

use crate::model::BuildRequest;

/// Words that name a secret wherever they stand, and whatever was written before them without a break: `DBPASSWORD`.
const SECRET: &str = "TOKEN TOKENS PASSWORD PASSWORDS PASSWD PWORD PASSPHRASE PASSCODE SECRET SECRETS CREDENTIAL \
    CREDENTIALS CREDS APIKEY APIKEYS ACCESSKEY SECRETKEY PRIVATEKEY";

/// Words that name one where they come last.
const SECRET_AT_LAST: &str = "KEY KEYS PASS PWD PAT AUTH";

/// What stands right before `KEY` where it opens nothing.
const HARMLESS_KEYS: &str = "CACHE PRIMARY FOREIGN SORT PARTITION ROW INDEX LOOKUP CONFIG GPG PGP APT TRUSTED";

/// What is meant to be known, whatever it is called besides.
const PUBLIC: &str = "PUBLIC PUB";

/// What a name ends with that is about a secret, and is none.
const ABOUT: &str = "ADDR ALGORITHM ARN AUDIENCE BACKEND COUNT DIR DIRECTORY DRIVER ENABLED ENDPOINT ENGINE EXPIRY FILE \
    FORMAT HEADER HOST ID ISSUER LENGTH LIFETIME LIMIT MANAGER MODE NAME NAMESPACE PATH POLICY PORT PROVIDER REGION \
    SERVICE SIZE STORE TIMEOUT TTL TYPE URI URL USER USERNAME VERSION";

/// What a name begins with that is a switch.
const SWITCH: &str = "ALLOW DISABLE ENABLE HAS IS NO REQUIRE SKIP USE WITH WITHOUT";

/// What may follow a secret that is still one.
const SHAPE: &str = "B64 BASE64 PEM JSON VALUE DEV TEST STAGING PROD PRODUCTION";

/// Whether a build arg of this name is likely to hold a secret. Words count, not letters: `MONKEY` holds none.
pub fn looks_like_secret(name: &str) -> bool {
    let words = words(name);
    let mut words: &[String] = &words;
    let among = |list: &str, word: &String| list.split(' ').any(|listed| listed == word);
    while let [rest @ .., last] = words
        && !rest.is_empty()
        && (among(SHAPE, last) || last.bytes().all(|byte| byte.is_ascii_digit()))
    {
        words = rest;
    }
    let [before @ .., last] = words else { return false };
    let switch = words.first().is_some_and(|first| among(SWITCH, first));
    if switch || among(ABOUT, last) || words.iter().any(|word| among(PUBLIC, word)) {
        return false;
    }
    if words.iter().any(|word| SECRET.split(' ').any(|secret| word.ends_with(secret))) {
        return true;
    }
    match before.last() {
        // PWD is a directory.
        None => last == "KEY",
        Some(before) => among(SECRET_AT_LAST, last) && !among(HARMLESS_KEYS, before),
    }
}

/// `npm_authToken` as `NPM`, `AUTH`, `TOKEN`; `APIToken2` as `API`, `TOKEN2`.
fn words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, character) in characters.iter().enumerate() {
        if !character.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).and_then(|before| characters.get(before));
        let lower = |character: Option<&char>| character.is_some_and(|character| character.is_lowercase());
        // The second case is the last capital of a run: it begins the next word.
        let begins =
            lower(before) || (before.is_some_and(|before| before.is_uppercase()) && lower(characters.get(at + 1)));
        if character.is_uppercase() && begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(character.to_uppercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// One warning that names the build args which look like secrets, if there are any. Those whose value could hold none
/// are left out.
pub fn secret_warnings(request: &BuildRequest) -> Vec<String> {
    let harmless = |value: &str| matches!(value, "" | "0" | "1" | "true" | "false" | "yes" | "no");
    let found: Vec<_> = request
        .build_args
        .iter()
        .filter(|(name, value)| looks_like_secret(name) && !harmless(value))
        .map(|(name, _)| name.escape_debug().to_string())
        .collect();
    let Some(first) = found.first() else { return Vec::new() };
    let (what, like, pass) = match found.len() {
        1 => ("build arg", "looks like a secret", "it"),
        _ => ("build args", "look like secrets", "each"),
    };
    vec![format!(
        "{what} {} {like}, and build args can be read in the image's history: pass {pass} with \
         --secret id={first},env={first} to a RUN --mount=type=secret,id={first}",
        found.join(", ")
    )]
}

#[cfg(test)]
mod tests;
