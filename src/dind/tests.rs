//! What the file says, and when there is none.
#![allow(clippy::unwrap_used)]

use super::*;

fn wanted() -> Wanted {
    Wanted {
        socket: "/run/engine/docker.sock".into(),
        data_root: "/var/lib/docker".into(),
        version: None,
        registry_mirrors: Vec::new(),
        insecure_registries: Vec::new(),
        group: 65532,
        gc_share: 60,
        data_size: None,
        image_store: None,
        storage_driver: None,
    }
}

fn pod() -> Pod {
    let volume = Volume { filesystem: "ext4".to_owned(), total: 100_000_000_000, free: 90_000_000_000 };
    Pod { volume, fresh: false, mtu: Some(1450) }
}

fn on(filesystem: &str) -> Pod {
    Pod { volume: Volume { filesystem: filesystem.to_owned(), ..pod().volume }, ..pod() }
}

fn base(json: &Value) -> Map<String, Value> {
    json.as_object().unwrap().clone()
}

fn made(wanted: &Wanted, pod: &Pod) -> Value {
    Value::Object(daemon_json(wanted, pod, Map::new()).unwrap().config)
}

#[test]
fn the_engine_is_as_the_pod_needs_it() {
    let Prepared { config, warnings } = daemon_json(&wanted(), &pod(), Map::new()).unwrap();
    let expected = json!({
        "hosts": ["unix:///run/engine/docker.sock"],
        "data-root": "/var/lib/docker",
        "group": "65532",
        "mtu": 1450,
        "default-network-opts": { "bridge": { "com.docker.network.driver.mtu": "1450" } },
        "storage-driver": "overlay2",
        "features": { "containerd-snapshotter": false },
        "builder": { "gc": {
            "enabled": true,
            "defaultKeepStorage": "60000000000",
            "defaultMaxUsedSpace": "60000000000",
            "defaultReservedSpace": "15000000000",
            "defaultMinFreeSpace": "20000000000",
        } },
    });
    assert_eq!(Value::Object(config), expected);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn what_would_fall_back_to_copying_every_layer_does_not_start() {
    for filesystem in ["overlayfs", "nfs"] {
        let why = daemon_json(&wanted(), &on(filesystem), Map::new()).unwrap_err();
        assert!(why.contains(filesystem) && why.contains("emptyDir"), "{why}");
    }
    let fuse = Wanted { storage_driver: Some("fuse-overlayfs".to_owned()), ..wanted() };
    assert_eq!(made(&fuse, &on("overlayfs"))["storage-driver"], "fuse-overlayfs");
}

#[test]
fn memory_and_a_small_disk_are_told() {
    let small = Pod { volume: Volume { free: 1_250_000_000, ..on("tmpfs").volume }, ..pod() };
    let warnings = daemon_json(&wanted(), &small, Map::new()).unwrap().warnings;
    assert!(warnings[0].contains("medium: Memory") && warnings[1].contains("1.2 GB"), "{warnings:?}");
}

#[test]
fn the_containerd_store_is_chosen_where_it_is_known_or_asked_for() {
    let store = |version: Option<&str>, image_store, own: Option<bool>| {
        let wanted = Wanted { version: version.map(|text| text.parse().unwrap()), image_store, ..wanted() };
        let base = own.map_or_else(Map::new, |own| base(&json!({ "features": { "containerd-snapshotter": own } })));
        let config = daemon_json(&wanted, &pod(), base).unwrap().config;
        // The one with the driver of the other starts, and then no pull works.
        (config["features"]["containerd-snapshotter"].clone(), config["storage-driver"].clone())
    };
    let (containerd, graphdriver) = ((json!(true), json!("overlayfs")), (json!(false), json!("overlay2")));
    assert_eq!(store(None, None, None), graphdriver);
    assert_eq!(store(Some("26.1"), None, None), graphdriver);
    assert_eq!(store(Some("28"), None, None), containerd);
    assert_eq!(store(Some("29.0"), Some(ImageStore::Graphdriver), None), graphdriver);
    assert_eq!(store(None, Some(ImageStore::Containerd), None), containerd);
    assert_eq!(store(Some("28"), None, Some(false)), graphdriver);
    assert_eq!(store(None, None, Some(true)), containerd);
}

#[test]
fn store_and_driver_go_together_or_nothing_is_written() {
    let made = |store: Option<ImageStore>, driver: Option<&str>, own: &Value| {
        let version = Some(EngineVersion(28, 0, 0));
        let driver = driver.map(ToOwned::to_owned);
        let wanted = Wanted { version, image_store: store, storage_driver: driver, ..wanted() };
        let Prepared { config, warnings } = daemon_json(&wanted, &pod(), base(own))?;
        let containerd = config["features"]["containerd-snapshotter"].as_bool().unwrap();
        Ok::<_, String>((containerd, config["storage-driver"].as_str().unwrap().to_owned(), warnings.len()))
    };
    let (graphdriver, containerd) = (Some(ImageStore::Graphdriver), Some(ImageStore::Containerd));
    let (overlay2, feature) =
        (json!({ "storage-driver": "overlay2" }), |on: bool| json!({ "features": { "containerd-snapshotter": on } }));
    let chosen = |containerd, driver: &str| Ok((containerd, driver.to_owned(), 0));
    assert_eq!(made(None, None, &overlay2), chosen(false, "overlay2"));
    assert_eq!(made(None, Some("overlay2"), &json!({})), chosen(false, "overlay2"));
    assert_eq!(made(None, Some("btrfs"), &json!({})), chosen(false, "btrfs"));
    assert_eq!(made(containerd, Some("btrfs"), &json!({})), chosen(true, "btrfs"));
    assert_eq!(made(None, Some("overlayfs"), &json!({})), chosen(true, "overlayfs"));
    assert_eq!(made(graphdriver, None, &overlay2), chosen(false, "overlay2"));
    for (store, driver, own, keys) in [
        (containerd, None, overlay2.clone(), ["--image-store", "storage-driver of the base"]),
        (containerd, Some("overlay2"), json!({}), ["--image-store", "--storage-driver"]),
        (graphdriver, Some("overlayfs"), json!({}), ["--image-store", "--storage-driver"]),
        (graphdriver, None, feature(true), ["--image-store", "features.containerd-snapshotter"]),
        (containerd, None, feature(false), ["--image-store", "features.containerd-snapshotter"]),
        (None, Some("overlay2"), feature(true), ["--storage-driver", "features.containerd-snapshotter"]),
    ] {
        let why = made(store, driver, &own).unwrap_err();
        assert!(keys.iter().all(|key| why.contains(key)), "{why}");
    }
}

#[test]
fn a_registry_is_insecure_in_the_words_of_each_version() {
    let insecure = |version: Option<&str>| {
        let version = version.map(|text| text.parse().unwrap());
        made(&Wanted { version, insecure_registries: vec!["r.ci:5000".to_owned()], ..wanted() }, &pod())
            ["insecure-registries"]
            .clone()
    };
    assert_eq!(insecure(None), json!(["r.ci:5000", "http://r.ci:5000"]));
    assert_eq!(insecure(Some("20.10.24")), json!(["r.ci:5000", "http://r.ci:5000"]));
    assert_eq!(insecure(Some("28")), json!(["r.ci:5000"]));
}

#[test]
fn a_size_limit_and_the_nodes_free_space_count_and_a_large_mtu_does_not() {
    let jumbo = Pod { mtu: Some(9001), ..pod() };
    let config = made(&Wanted { data_size: Some(20_000_000_000), ..wanted() }, &jumbo);
    assert_eq!(config["mtu"], 1500);
    assert_eq!(config["builder"]["gc"]["defaultKeepStorage"], "12000000000");
    let node = Pod { fresh: true, volume: Volume { free: 30_000_000_000, ..pod().volume }, ..pod() };
    let gc = &made(&wanted(), &node)["builder"]["gc"];
    assert_eq!(gc["defaultKeepStorage"], "18000000000", "the kubelet evicts who fills the node's disk");
    assert_eq!(gc["defaultMinFreeSpace"], "20000000000");
    let limited = made(&Wanted { data_size: Some(20_000_000_000), ..wanted() }, &node);
    assert_eq!(limited["builder"]["gc"]["defaultKeepStorage"], "12000000000");
    let lonely = daemon_json(&wanted(), &Pod { mtu: None, ..pod() }, Map::new()).unwrap();
    assert!(!lonely.config.contains_key("mtu") && lonely.warnings[0].contains("default route"));
}

#[test]
fn the_users_own_keys_win_and_differences_are_told() {
    let wanted = Wanted { registry_mirrors: vec!["https://a".to_owned()], ..wanted() };
    let own = json!({
        "mtu": 1500,
        "log-level": "warn",
        "group": "65532",
        "registry-mirrors": ["https://b", "https://a"],
        "features": { "cdi": true },
        "builder": { "gc": { "defaultKeepStorage": "5GB" } },
    });
    let Prepared { config, warnings } = daemon_json(&wanted, &pod(), base(&own)).unwrap();
    assert_eq!(config["mtu"], 1500);
    assert_eq!(config["default-network-opts"]["bridge"]["com.docker.network.driver.mtu"], "1500");
    assert_eq!(config["log-level"], "warn");
    assert_eq!(config["registry-mirrors"], json!(["https://a", "https://b"]));
    assert_eq!(config["features"], json!({ "cdi": true, "containerd-snapshotter": false }));
    assert_eq!(config["builder"], json!({ "gc": { "defaultKeepStorage": "5GB" } }), "28 would heed ours alone");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("1450") && warnings[1].contains("builder"), "{warnings:?}");
}

#[test]
fn no_base_opens_the_engine_to_the_pod() {
    let why = daemon_json(&wanted(), &pod(), base(&json!({ "hosts": ["tcp://0.0.0.0:2375"] }))).unwrap_err();
    assert!(why.contains("hosts"), "{why}");
    let old = Wanted { version: Some(EngineVersion(19, 3, 15)), ..wanted() };
    assert!(daemon_json(&old, &pod(), Map::new()).unwrap_err().contains("19.3.15"));
}
