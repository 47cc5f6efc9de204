use super::*;
use crate::strategy::sample::request;

#[test]
fn secrets_are_known_by_their_names() {
    let names = "
        TOKEN NPM_TOKEN npm_authToken npmToken APIToken GITHUB_PAT GITHUB_TOKEN_PROD PASSWORD DB_PASS DB_PASSWD
        MYSQL_ROOT_PASSWORD db-pwd KEY API_KEY apiKey APIKEY API_KEY_2 AWS_SECRET_ACCESS_KEY SSH_PRIVATE_KEY
        SSH_PRIVATE_KEY_BASE64 private.key CLIENT_SECRET GOOGLE_CREDENTIALS_JSON SIGNING_KEY LICENSE_KEY
        SECRET_KEY_BASE KEYSTORE_PASSWORD CACHE_ENCRYPTION_KEY CONFIG_SIGNING_KEY DBPASSWORD githubtoken
        AWSSECRETKEY NPM_AUTH db_pword
    ";
    for name in names.split_whitespace() {
        assert!(looks_like_secret(name), "{name}");
    }
}

#[test]
fn nobody_is_warned_of_what_is_no_secret() {
    let names = "
        _ VERSION MONKEY KEYBOARD_LAYOUT TOKENIZER_VERSION PUBLIC_KEY SSH_PUBLIC_KEY CACHE_KEY GPG_KEY PWD PASS PATH
        KEYS_URL TOKEN_URL AWS_ACCESS_KEY_ID SECRET_NAME TOKEN_FILE PASSWORD_LENGTH USE_TOKEN SECRETS_MANAGER_REGION
        PRIVATE_REGISTRY COMPASS BYPASS_CACHE PRIMARY_KEY KEYCLOAK_VERSION SECRETARY TEST PROD 2
        NEXT_PUBLIC_MAP_TOKEN APT_KEYS AUTH USE_AUTH AUTH_URL
    ";
    for name in names.split_whitespace().chain([""]) {
        assert!(!looks_like_secret(name), "{name}");
    }
}

fn warned(args: &[(&str, &str)]) -> Vec<String> {
    let build_args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    secret_warnings(&BuildRequest { build_args, ..request() })
}

#[test]
fn one_warning_names_them_all_and_what_to_do_and_no_value() {
    let warnings = warned(&[("NPM_TOKEN", "hunter2"), ("VERSION", "1"), ("DB_PASSWORD", "hunter2"), ("API_KEY", "")]);
    let [warning] = warnings.as_slice() else { unreachable!("{warnings:?}") };
    assert!(warning.starts_with("build args DB_PASSWORD, NPM_TOKEN look like secrets"), "{warning}");
    let instead = "--secret id=DB_PASSWORD,env=DB_PASSWORD to a RUN --mount=type=secret,id=DB_PASSWORD";
    assert!(warning.ends_with(instead), "{warning}");
    assert!(!warning.contains("hunter2") && !warning.contains("VERSION"), "{warning}");
    assert!(warned(&[("VERSION", "1"), ("NPM_TOKEN", ""), ("DB_PASSWORD", "false")]).is_empty());
}

#[test]
fn a_name_cannot_write_lines_of_its_own() {
    assert!(!warned(&[("A\n\u{1b}_TOKEN", "x")]).concat().contains(['\n', '\u{1b}']));
}
