//! What is asked of the registries.

use super::*;

fn asked(request: &BuildRequest, scopes: &Scopes, graph: Option<&Graph>) -> Question {
    question(facts(request, &graphdriver()), scopes, graph)
}

#[test]
fn a_branch_reads_its_own_cache_then_what_it_falls_back_to_then_the_images_themselves() {
    let asked = asked(&request(), &scopes(Some("feature"), &["next", "main"]), Some(&two_stages()));
    let expected = [
        "r.example/app:cache_feature_stage-1",
        "r.example/app:caches_feature_stage-1",
        "r.example/app:cache_feature_builder",
        "r.example/app:cache_next_stage-1",
        "r.example/app:caches_next_stage-1",
        "r.example/app:cache_next_builder",
        "r.example/app:cache_main_stage-1",
        "r.example/app:caches_main_stage-1",
        "r.example/app:cache_main_builder",
        "r.example/app:1",
        "r.example/app:latest",
        "other.example/app:1",
    ];
    assert_eq!(names(&asked.candidates), expected);
    let builder = &asked.candidates[2];
    assert_eq!((builder.whose.scope(), builder.stage.as_deref()), (Some("feature"), Some("builder")));
    assert_eq!(builder.whose, Whose::Own("feature".to_owned()));
    let merged = &asked.candidates[7];
    assert_eq!((&merged.whose, &merged.stage), (&Whose::Fallback("main".to_owned()), &None), "it is of no one stage");
    let image = &asked.candidates[9];
    assert_eq!((&image.whose, image.whose.scope(), &image.stage), (&Whose::Tag, None, &None));
    assert_eq!(asked.target.as_deref(), Some("stage-1"));
    assert_eq!(asked.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>(), ["builder", "stage-1"]);
}

#[test]
fn what_the_caller_names_comes_first_and_stands_for_the_images() {
    let cache_from = vec![tag("r.example/old:1"), tag("r.example/app:cache_main_builder")];
    let asked = asked(&BuildRequest { cache_from, ..request() }, &scopes(Some("main"), &[]), Some(&two_stages()));
    let expected = [
        "r.example/old:1",
        "r.example/app:cache_main_builder",
        "r.example/app:cache_main_stage-1",
        "r.example/app:caches_main_stage-1",
    ];
    assert_eq!(names(&asked.candidates), expected, "each once");
    assert_eq!(asked.candidates[0].whose, Whose::Named);
    assert_eq!(asked.candidates[1].whose, Whose::Own("main".to_owned()), "it is what it is");
}

#[test]
fn a_build_that_reads_nothing_asks_only_whether_it_can_write() {
    let no_cache = BuildRequest { no_cache: true, cache_from: vec![tag("r.example/old:1")], ..request() };
    let ask = |request: &BuildRequest, scopes: &Scopes| names(&asked(request, scopes, Some(&two_stages())).candidates);
    let main = scopes(Some("main"), &["next"]);
    assert_eq!(ask(&no_cache, &main), [""; 0], "it pushes nothing");
    let pushing = BuildRequest { push: true, ..no_cache };
    assert_eq!(ask(&pushing, &main), ["r.example/app:cache_main_stage-1"]);
    assert_eq!(ask(&pushing, &Scopes { writes: Err("a fork".to_owned()), ..main }), [""; 0]);
}

#[test]
fn with_cache_off_only_what_the_caller_names_is_read() {
    let cache = CacheRequest { mode: CacheMode::Off, ..CacheRequest::default() };
    let off = BuildRequest { cache, ..request() };
    assert!(asked(&off, &scopes(Some("main"), &[]), Some(&two_stages())).candidates.is_empty());
    let named = BuildRequest { cache_from: vec![tag("r.example/old:1")], ..off };
    assert_eq!(names(&asked(&named, &scopes(Some("main"), &[]), None).candidates), ["r.example/old:1"]);
}

#[test]
fn nobodys_cache_is_looked_for_among_docker_hubs_official_images() {
    let official = BuildRequest { tags: vec![tag("app"), tag("app:2")], ..request() };
    assert!(asked(&official, &scopes(Some("main"), &[]), Some(&two_stages())).candidates.is_empty());
    let mixed = BuildRequest { tags: vec![tag("app"), tag("me/app")], ..official };
    let expected = [
        "docker.io/me/app:cache_main_stage-1",
        "docker.io/me/app:caches_main_stage-1",
        "docker.io/me/app:cache_main_builder",
        "docker.io/me/app:latest",
    ];
    assert_eq!(names(&asked(&mixed, &scopes(Some("main"), &[]), Some(&two_stages())).candidates), expected);
}

#[test]
fn a_cache_repository_holds_all_scopes_and_its_own_tag_means_nothing() {
    let ask = |tags: &[&str]| {
        let cache = CacheRequest { repository: Some(tag("cache.example/team/app:x")), ..CacheRequest::default() };
        let there = BuildRequest { cache, tags: tags.iter().map(|name| tag(name)).collect(), ..request() };
        names(&asked(&there, &scopes(Some("main"), &[]), Some(&two_stages())).candidates)
    };
    let own = ["cache_main_stage-1", "caches_main_stage-1", "cache_main_builder"]
        .map(|tag| format!("cache.example/team/app:{tag}"));
    assert_eq!(ask(&[]), own);
    assert_eq!(ask(&["cache.example/team/app:1"])[..3], own, "it is the image's own");
    let official = [
        "cache-app.2ef8f84e93a85721_main_stage-1",
        "caches-app.2ef8f84e93a85721_main_stage-1",
        "cache-app.2ef8f84e93a85721_main_builder",
    ]
    .map(|tag| format!("cache.example/team/app:{tag}"));
    assert_eq!(ask(&["app"]), official);
}

#[test]
fn images_that_share_a_cache_repository_leave_one_another_their_caches() {
    let first = |tags: &[&str]| {
        let cache = CacheRequest { repository: Some(tag("r.example/mono/cache")), ..CacheRequest::default() };
        let build = BuildRequest { cache, tags: tags.iter().map(|name| tag(name)).collect(), ..request() };
        names(&asked(&build, &scopes(Some("main"), &[]), Some(&two_stages())).candidates)[0].clone()
    };
    let app = first(&["r.example/mono/app:1"]);
    assert!(app.starts_with("r.example/mono/cache:cache-app."), "{app}");
    assert_eq!(app, first(&["r.example/mono/app:2", "r.example/other:1"]), "the image's next build finds it");
    assert_eq!(app, first(&["app", "r.example/mono/app"]), "a name for the engine alone says nothing");
    for other in ["r.example/mono/web:1", "r.example/app:1", "q.example/mono/app:1"] {
        assert_ne!(app, first(&[other]), "{other}");
    }
}

#[test]
fn without_a_branch_the_images_themselves_are_the_cache() {
    let expected = ["r.example/app:1", "r.example/app:latest", "other.example/app:1"];
    assert_eq!(names(&asked(&request(), &scopes(None, &[]), Some(&two_stages())).candidates), expected);
    // An engine that does not tell the stages leaves no name for the scopes' caches.
    let untold = asked(&request(), &scopes(Some("main"), &["next"]), None);
    assert_eq!(names(&untold.candidates), expected);
    assert_eq!((untold.target, untold.stages), (None, Vec::new()));
}

#[test]
fn a_release_is_made_of_its_sources_alone() {
    let release = Scopes { reads: Err("a tag build".to_owned()), ..scopes(None, &[]) };
    assert!(asked(&request(), &release, Some(&two_stages())).candidates.is_empty(), "latest is no source of it");
    let named = BuildRequest { cache_from: vec![tag("r.example/old:1")], ..request() };
    assert_eq!(names(&asked(&named, &release, Some(&two_stages())).candidates), ["r.example/old:1"]);
}

#[test]
fn an_only_stage_needs_no_name_and_one_without_steps_has_the_one_asked_for() {
    let first = |request: &BuildRequest, graph: &Graph| {
        names(&asked(request, &scopes(Some("main"), &[]), Some(graph)).candidates)[0].clone()
    };
    assert_eq!(first(&request(), &graph(&[""])), "r.example/app:cache_main");
    let targeted = BuildRequest { target: Some("base".to_owned()), ..request() };
    let bare = Graph { nodes: graph(&[""]).nodes[..1].to_vec() };
    assert_eq!(first(&targeted, &bare), "r.example/app:cache_main_base");
    assert_eq!(first(&request(), &bare), "r.example/app:cache_main");
}

#[test]
fn another_dockerfile_of_the_same_repository_has_a_cache_of_its_own() {
    let of = |file: &str| {
        let request = BuildRequest { dockerfile: file.to_owned(), tags: vec![tag("r.example/app:1")], ..request() };
        names(&asked(&request, &scopes(Some("main"), &[]), Some(&two_stages())).candidates)
    };
    let (one, other, debug) = (of("Dockerfile"), of("Dockerfile.alpine"), of("Dockerfile.debug"));
    assert_eq!(one[0], "r.example/app:cache_main_stage-1");
    for (index, name) in one.iter().enumerate().filter(|(_, name)| name.contains(":cache")) {
        assert!(!other.contains(name) && !debug.contains(name) && other[index] != debug[index], "{other:?} {debug:?}");
    }
}

#[test]
fn builds_for_other_platforms_have_a_cache_of_their_own() {
    let ask = |platforms: &[&str]| {
        let platforms = platforms.iter().map(|&name| name.to_owned()).collect();
        let asked = asked(&BuildRequest { platforms, ..request() }, &scopes(Some("main"), &[]), Some(&two_stages()));
        names(&asked.candidates).into_iter().find(|name| name.contains("builder")).unwrap()
    };
    assert_eq!(ask(&[]), "r.example/app:cache_main_builder");
    assert_eq!(ask(&["linux/amd64"]), ask(&[]), "what the engine builds by itself");
    assert_eq!(ask(&["linux/arm64"]), "r.example/app:cache_main_builder_linux-arm64");
    // The cache of several is not that of one.
    let both = ask(&["linux/amd64", "linux/arm64"]);
    assert!(both.starts_with("r.example/app:cache_main_builder_linux-a."), "{both}");
}

#[test]
fn a_dockerfile_with_a_hundred_stages_does_not_flood_the_registry() {
    let many: Vec<String> = (0..100).map(|number| format!("s{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let asked = asked(&request(), &scopes(Some("feature"), &["next", "main"]), Some(&graph(&many)));
    assert_eq!(asked.candidates.len(), MOST_CANDIDATES);
    let names = names(&asked.candidates);
    for scope in ["feature", "next", "main"] {
        assert!(names.contains(&format!("r.example/app:cache_{scope}_s99")), "the target's of {scope}: {names:?}");
        assert!(names.contains(&format!("r.example/app:caches_{scope}_s99")), "all of {scope}: {names:?}");
    }
}

#[test]
fn an_image_of_one_stage_has_all_of_its_cache_itself() {
    let asked = asked(&request(), &scopes(Some("main"), &[]), Some(&graph(&[""])));
    assert!(!names(&asked.candidates).iter().any(|name| name.contains("caches_")), "{:?}", asked.candidates);
    // A merged cache is of one platform.
    let platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
    let several = BuildRequest { platforms, ..request() };
    let asked = question(facts(&several, &graphdriver()), &scopes(Some("main"), &[]), Some(&two_stages()));
    assert!(!names(&asked.candidates).iter().any(|name| name.contains("caches_")), "{:?}", asked.candidates);
}
