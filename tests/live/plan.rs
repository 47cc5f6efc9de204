//! `remora plan`: what it says, and that it does nothing.

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(a_plan_runs_nothing_and_writes_nothing, a_plan_and_a_summary_name_the_cache_that_is_read);
on_one_engine!(Docker28: a_plan_of_a_broken_dockerfile_fails_as_its_build_does);

fn dockerfile(registry: &Registry) -> String {
    let (base, salt) = (registry.image("base:1"), rig::unique());
    format!("FROM {base} AS builder\nRUN echo {salt} >/made\nFROM {base}\nCOPY --from=builder /made /made\n")
}

fn a_plan_runs_nothing_and_writes_nothing(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", &dockerfile(&registry))]);
    let (path, tag) = (context.path().to_str().unwrap(), registry.image("app:1"));
    let plan = ["plan", "--network", "host", "--push", "--cache-scope", "feature/x", "-t", &tag, path];
    let outcome = agent.client().run(&plan).code(0);
    for said in ["feature/x", "none yet", "builder", tag.as_str(), "push ", "retag "] {
        assert!(outcome.stdout.contains(said), "'{said}' is not in\n{}", outcome.stdout);
    }
    assert!(!outcome.stderr.contains("RUN"), "{}", outcome.stderr);
    assert_eq!(registry.head("app", "1"), None);
    let built = agent.client().build(context.path(), &["--push", "--cache-scope", "feature/x", "-t", &tag]).code(0);
    built.assert_step("RUN echo", "DONE");
}

fn a_plan_and_a_summary_name_the_cache_that_is_read(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", &dockerfile(&registry))]);
    let (path, tag) = (context.path().to_str().unwrap(), registry.image("app:1"));
    let client = agent.client();
    client.build(context.path(), &["--push", "--cache-scope", "main", "-t", &tag]).code(0).says("main has none yet");
    let flags = ["--push", "--cache-scope", "x", "--cache-fallback", "main", "-t", &registry.image("app:2")];
    let plan = [&["plan", "--json", "--network", "host"], &flags[..], &[path]].concat();
    let plan: serde_json::Value = serde_json::from_str(&client.run(&plan).code(0).stdout).unwrap();
    let state = |scope: &str| {
        let refs = plan["refs"].as_array().unwrap().iter();
        refs.filter(|of| of["scope"] == scope).map(|of| of["state"].as_str().unwrap().to_owned()).next().unwrap()
    };
    assert_eq!((state("x").as_str(), state("main").as_str()), ("missing", "found"), "{plan:#}");
    assert!(!plan["imports"].as_array().unwrap().is_empty(), "{plan:#}");

    let file = context.path().join("metadata.json");
    let flags = [&flags[..], &["--metadata-file", file.to_str().unwrap()]].concat();
    client
        .build(context.path(), &flags)
        .code(0)
        .says("cache: reading main")
        .says("x has none yet; 2 of 2 steps cached");
    let metadata: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let cache = &metadata["remora"]["cache"];
    assert_eq!(cache["imports"], plan["imports"]);
    assert!(!cache["outcome"]["written"].as_array().unwrap().is_empty(), "{cache:#}");
    assert_eq!(metadata["containerimage.digest"], metadata["remora"]["digest"]);
}

fn a_plan_of_a_broken_dockerfile_fails_as_its_build_does(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FRM scratch\n")]);
    let outcome = agent.client().run(&["plan", context.path().to_str().unwrap()]).code(1).says("FRM");
    assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
}
