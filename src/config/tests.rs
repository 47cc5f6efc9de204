#![allow(clippy::unwrap_used)]
use super::*;

fn mistakes(text: &str) -> Vec<String> {
    Config::from_file_text(text).unwrap_err().iter().map(ToString::to_string).collect()
}

fn resolve(flags: &Flags, env: &[(&str, &str)], file: &str) -> Result<Config, Vec<String>> {
    let look = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    let file = Config::from_file_text(file).unwrap();
    Config::resolve(flags, look, file).map_err(|m| m.iter().map(ToString::to_string).collect())
}

#[test]
fn a_file_may_say_everything() {
    let file = Config::from_file_text(
        "engine = 'tcp://docker:2375'\nlisten = 'tcp://127.0.0.1:7777'\n\
         allow_entitlement = ['network.host']\ninsecure_registry = ['registry:5000', 'r.example.com']\n",
    )
    .unwrap();
    assert_eq!(file.engine.as_deref(), Some("tcp://docker:2375"));
    assert_eq!(file.allow_entitlement, Some(vec![Entitlement::NetworkHost]));
    assert_eq!(file.insecure_registry, Some(vec!["registry:5000".to_owned(), "r.example.com".to_owned()]));
    assert_eq!(Config::from_file_text(""), Ok(FileConfig::default()));
}

#[test]
fn all_mistakes_come_at_once_with_key_and_line() {
    let found = mistakes("engin = 'x'\nlisten = 'tcp://agent:1'\n\n[tls]\nca = 'x'\n[[insecure_registry]]\na = 1\n");
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].starts_with("line 1: engin: unknown key; the keys are engine, listen"), "{found:?}");
    assert!(found[1].starts_with("line 2: listen: invalid address 'tcp://agent:1': an IP address"), "{found:?}");
    assert!(found[2].starts_with("line 4: tls: unknown key"), "{found:?}");
    assert!(found[3].contains("insecure_registry: a string is wanted, not a table"), "{found:?}");

    let found = mistakes(
        "engine = 5\nallow_entitlement = 'network.host'\ninsecure_registry = [\n 'ok:1',\n 'http://r',\n '10.0.0.0/8',\n 7,\n 'r',\n]\n",
    );
    assert_eq!(found[0], "line 1: engine: a string is wanted, not a number");
    assert_eq!(found[1], "line 2: allow_entitlement: a list of strings is wanted, not a string");
    assert!(found[2].starts_with("line 5: insecure_registry: invalid registry 'http://r': write host"), "{found:?}");
    assert!(found[3].starts_with("line 6: insecure_registry: invalid registry '10.0.0.0/8'"), "{found:?}");
    assert_eq!(found[4], "line 7: insecure_registry: a string is wanted, not a number");
    assert!(found[5].starts_with("line 8: insecure_registry: invalid registry 'r'"), "{found:?}");
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let found = mistakes("engine = 'unix:///a'\nlisten =\nengine = 'unix:///b'\n");
    assert!(found[0].starts_with("line 2: "), "{found:?}");
    assert!(found.iter().any(|m| m.starts_with("line 3: ")), "{found:?}");
}

#[test]
fn flags_win_over_environment_over_file_over_default() {
    let file = "engine = 'unix:///file'\ninsecure_registry = ['file:1']";
    let env = [("REMORA_ENGINE", "unix:///env"), ("REMORA_INSECURE_REGISTRY", "env:1, env:2")];
    let flags =
        Flags { engine: Some("unix:///flag".into()), insecure_registry: vec!["flag:1".into()], ..Flags::default() };
    let engine = |c: &Config| c.engine.to_string();

    let config = resolve(&flags, &env, file).unwrap();
    assert_eq!((engine(&config).as_str(), config.insecure_registry.len()), ("unix:///flag", 1));
    let config = resolve(&Flags::default(), &env, file).unwrap();
    assert_eq!((engine(&config).as_str(), config.insecure_registry.len()), ("unix:///env", 2));
    let config = resolve(&Flags::default(), &[("REMORA_ENGINE", "")], file).unwrap();
    assert_eq!((engine(&config).as_str(), config.insecure_registry[0].as_str()), ("unix:///file", "file:1"));
    let config = resolve(&Flags::default(), &[], "").unwrap();
    assert_eq!((engine(&config).as_str(), config.listen[0].to_string().as_str()), (DEFAULT_ENGINE, DEFAULT_LISTEN));
    assert!(config.allow_entitlement.is_empty());
}

#[test]
fn the_deadline_for_registries_is_a_time_of_a_minute_at_most() {
    let resolved = |flag: Option<&str>, env: &[(&str, &str)], file: &str| {
        let flags = Flags { cache_deadline: flag.map(str::to_owned), ..Flags::default() };
        resolve(&flags, env, file).map(|config| config.cache_deadline)
    };
    let file = "cache_deadline = '500ms'";
    assert_eq!(resolved(None, &[], ""), Ok(Duration::from_secs(2)));
    assert_eq!(resolved(None, &[], file), Ok(Duration::from_millis(500)));
    assert_eq!(resolved(None, &[("REMORA_CACHE_DEADLINE", "1s")], file), Ok(Duration::from_secs(1)));
    assert_eq!(resolved(Some("0s"), &[("REMORA_CACHE_DEADLINE", "1s")], file), Ok(Duration::ZERO));
    for odd in ["", "2", "soon", "61s", "-1s"] {
        assert!(mistakes(&format!("cache_deadline = '{odd}'"))[0].starts_with("line 1: cache_deadline: "), "{odd}");
    }
    assert!(resolved(Some("61s"), &[], "").is_err());
}

#[test]
fn docker_host_counts_where_remora_engine_is_silent() {
    let docker = ("DOCKER_HOST", "tcp://docker:2376");
    let config = resolve(&Flags::default(), &[docker, ("DOCKER_TLS_VERIFY", "1"), ("HOME", "/r")], "").unwrap();
    assert!(matches!(&config.engine, EngineUrl::Tcp { tls: Some(dir), .. } if dir.path().ends_with(".docker")));
    let config = resolve(&Flags::default(), &[docker, ("REMORA_ENGINE", "unix:///e")], "").unwrap();
    assert_eq!(config.engine.to_string(), "unix:///e");
}

#[test]
fn mistakes_of_flags_and_environment_come_at_once_too() {
    let flags =
        Flags { listen: vec!["nowhere".into()], allow_entitlement: vec!["everything".into()], ..Flags::default() };
    let found = resolve(&flags, &[("DOCKER_HOST", "ssh://h"), ("REMORA_INSECURE_REGISTRY", "a/b")], "").unwrap_err();
    let starts = ["DOCKER_HOST: ", "--listen: ", "--allow-entitlement: ", "REMORA_INSECURE_REGISTRY: "];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}");
    }
}

#[test]
fn how_many_builds_run_and_wait_are_numbers() {
    let file = "name = 'remora-0'\nmax_builds = 4\nmax_queue = 0";
    let resolved = |flags: Flags, env: &[(&str, &str)], file: &str| {
        resolve(&flags, env, file).map(|config| (config.name, config.max_builds, config.max_queue))
    };
    assert_eq!(resolved(Flags::default(), &[], ""), Ok((None, 0, 32)));
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(resolved(Flags::default(), &[], file), Ok((named("remora-0"), 4, 0)));
    let flags = Flags { name: named("a"), max_builds: named("2"), ..Flags::default() };
    assert_eq!(resolved(flags, &[("REMORA_MAX_QUEUE", "7"), ("REMORA_NAME", "b")], file), Ok((named("a"), 2, 7)));
    for odd in ["max_builds = -1", "max_builds = '4'", "max_queue = 1000000", "name = 'a b'", "name = ''"] {
        assert!(mistakes(odd)[0].starts_with("line 1: "), "{odd}");
    }
    assert!(resolved(Flags { max_builds: named("many"), ..Flags::default() }, &[], "").is_err());
}

#[test]
fn it_listens_in_several_places() {
    let listen = |flags: &[&str], env: &[(&str, &str)], file| {
        let flags = Flags { listen: flags.iter().map(|url| (*url).to_owned()).collect(), ..Flags::default() };
        resolve(&flags, env, file).unwrap().listen.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let two = ["unix:///a", "tcp://0.0.0.0:7733"];
    assert_eq!(listen(&two, &[], ""), two);
    assert_eq!(listen(&[], &[("REMORA_LISTEN", "unix:///a, tcp://0.0.0.0:7733")], "listen = 'unix:///b'"), two);
    assert_eq!(listen(&[], &[], "listen = ['unix:///a', 'tcp://0.0.0.0:7733']"), two);
    assert_eq!(listen(&[], &[], "listen = 'unix:///b'"), ["unix:///b"]);
}
