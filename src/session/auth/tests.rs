#![allow(clippy::unwrap_used)]

use super::*;

/// User and secret, for "who:secret" as `d2hvOnNlY3JldA==`.
fn asked(config: &str, host: &str) -> Result<(String, String), Problem> {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.json");
    std::fs::write(&file, config).unwrap();
    Credentials::from_file(file).get(host).map(|found| (found.username, found.secret))
}

fn pair(user: &str, secret: &str) -> (String, String) {
    (user.to_owned(), secret.to_owned())
}

#[test]
fn a_registry_is_found_under_every_name_that_docker_writes() {
    for (key, host) in [
        ("https://index.docker.io/v1/", "registry-1.docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "registry-1.docker.io"),
        ("index.docker.io", "docker.io"),
        ("r.test:5000", "r.test:5000"),
        ("https://r.test", "r.test"),
        ("https://r.test/v1/", "r.test"),
        ("http://r.test/", "r.test"),
        ("r.test/v2/", "r.test"),
    ] {
        let config = format!(r#"{{"auths": {{"other.test": {{}}, "{key}": {{"auth": "d2hvOnNlY3JldA=="}}}}}}"#);
        assert_eq!(asked(&config, host).unwrap(), pair("who", "secret"), "{host} under {key}");
    }
}

#[test]
fn an_identity_token_goes_without_a_user_name() {
    let config = r#"{"auths": {"r.test": {"auth": "d2hvOg==", "identitytoken": "token"}}}"#;
    assert_eq!(asked(config, "r.test").unwrap(), pair("", "token"), "the engine tells a token by the empty user name");
}

#[test]
fn a_plain_user_name_and_password_are_taken() {
    let config = r#"{"auths": {"r.test": {"username": "who", "password": "secret"}}}"#;
    assert_eq!(asked(config, "r.test").unwrap(), pair("who", "secret"));
}

#[test]
fn nothing_configured_is_nothing_and_no_error() {
    for config in [
        "{}",
        r#"{"auths": {}}"#,
        r#"{"auths": {"r.test": {}}}"#,
        r#"{"auths": {"r.test": {"auth": "", "identitytoken": ""}}}"#,
        r#"{"auths": {"r.test.evil": {"auth": "d2hvOnNlY3JldA=="}}, "HttpHeaders": {"a": "b"}}"#,
    ] {
        assert_eq!(asked(config, "r.test").unwrap(), pair("", ""), "{config}");
    }
    let missing = Credentials::from_file("/nonexistent/config.json").get("r.test");
    assert_eq!(missing, Ok(CredentialsResponse::default()));
    assert_eq!(Credentials::default().get("r.test"), Ok(CredentialsResponse::default()));
}

#[test]
fn a_broken_file_is_named_without_what_is_in_it() {
    for config in [
        "{\"auths\"",
        "[]",
        r#"{"auths": []}"#,
        r#"{"auths": {"r.test": {"auth": "d2hvc2VjcmV0"}}}"#,
        r#"{"auths": {"r.test": {"auth": "%%secret"}}}"#,
        r#"{"auths": {"r.test": {"auth": "d2hvOnNlY3JldA==", "username": "secret", "password": "x"}}}"#,
    ] {
        let problem = asked(config, "r.test").unwrap_err();
        assert!(problem.what.contains("config.json"), "{problem}");
        assert!(!problem.what.contains("secret") && !problem.what.contains("d2hv"), "{problem}");
        assert_eq!((problem.what.lines().count(), problem.next.lines().count()), (1, 1));
    }
}

#[test]
fn the_file_is_found_where_docker_finds_it() {
    let find =
        |config: Option<&str>, home: Option<&str>| Credentials::find(config.map(Into::into), home.map(Into::into)).file;
    assert_eq!(find(Some("/etc/docker"), Some("/home/me")).unwrap(), Path::new("/etc/docker/config.json"));
    assert_eq!(find(None, Some("/home/me")).unwrap(), Path::new("/home/me/.docker/config.json"));
    assert_eq!(find(Some(""), Some("/home/me")).unwrap(), Path::new("/home/me/.docker/config.json"));
    assert_eq!(find(None, None), None);
}

#[test]
fn the_file_is_read_once() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.json");
    std::fs::write(&file, r#"{"auths": {"r.test": {"auth": "d2hvOnNlY3JldA=="}}}"#).unwrap();
    let credentials = Credentials::from_file(&file);
    let first = credentials.get("r.test");
    std::fs::write(&file, "{").unwrap();
    assert_eq!(credentials.get("r.test"), first, "one build, one set of credentials");
}

#[test]
fn variables_of_the_environment_hold_credentials_too() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.json");
    let both = |auth: &str| format!(r#"{{"auths": {{"r.test": {{"auth": "{auth}"}}}}}}"#);
    std::fs::write(&file, both("d2hvOmZpbGU=")).unwrap();
    let with = |variables: &[(&str, &str)]| {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let value = move |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        Credentials::from_file(&file).with_variables(value)
    };
    let asked =
        |credentials: &Credentials, host: &str| credentials.get(host).map(|found| (found.username, found.secret));
    let text = both("d2hvOnRleHQ=");
    let gitlab = [("CI_REGISTRY", "own.test:5050"), ("CI_REGISTRY_USER", "job"), ("CI_REGISTRY_PASSWORD", "token")];
    let credentials = with(&[&[("DOCKER_AUTH_CONFIG", text.as_str())], &gitlab[..]].concat());
    assert_eq!(asked(&credentials, "r.test").unwrap(), pair("who", "text"), "before the file's");
    assert_eq!(asked(&credentials, "own.test:5050").unwrap(), pair("job", "token"));
    assert_eq!(asked(&credentials, "own.test").unwrap(), pair("", ""), "nobody else gets the job's token");
    assert_eq!(asked(&with(&gitlab), "r.test").unwrap(), pair("who", "file"));
    let broken = with(&[("DOCKER_AUTH_CONFIG", "{\"auths\": 1, \"x\": \"s3cret\"}")]);
    let problem = asked(&broken, "r.test").unwrap_err();
    assert!(problem.what.contains("DOCKER_AUTH_CONFIG") && !problem.what.contains("s3cret"), "{problem:?}");
}

#[test]
fn a_jobs_token_is_for_the_agents_git_at_its_own_server_by_https_and_for_nobody_else() {
    let variables = |url: &'static str| {
        Credentials::default().with_variables(move |name| match name {
            "CI_SERVER_URL" => Some(url.to_owned()),
            "CI_JOB_TOKEN" => Some("canary".to_owned()),
            _ => None,
        })
    };
    for url in ["https://gitlab.example", "https://gitlab.example:443/", "https://gitlab.example/below"] {
        let found = variables(url).get("git+https://gitlab.example").unwrap();
        assert_eq!((found.username.as_str(), found.secret.as_str()), ("gitlab-ci-token", "canary"), "{url}");
    }
    let here = variables("https://gitlab.example");
    for other in
        ["gitlab.example", "https://gitlab.example", "git+http://gitlab.example", "git+https://gitlab.example.evil"]
    {
        assert_eq!(here.get(other).unwrap().secret, "", "{other}");
    }
    assert_eq!(variables("http://gitlab.example").get("git+http://gitlab.example").unwrap().secret, "");
}
