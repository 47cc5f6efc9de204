//! `remora info`.

use super::{
    args::{Connection, Info},
    connect, text,
};
use crate::{
    model::{Failure, FailureKind},
    pb, wire,
};

pub(super) async fn info(connection: &Connection, args: Info) -> Result<(), Failure> {
    let mut agent = connect::connect(connection).await?;
    let answer = agent.client.info(pb::InfoRequest {}).await.map_err(|status| wire::from_status(&status))?;
    let info = answer.into_inner();
    if args.json {
        text::data(&json(&info).to_string());
    } else {
        print(&info);
    }
    match info.engine {
        Some(_) => Ok(()),
        None => Err(Failure::new(FailureKind::Engine, info.engine_problem).next(info.engine_next)),
    }
}

fn print(info: &pb::InfoResponse) {
    let line = |key: &str, value: &str| text::data(&format!("{key:<15} {value}"));
    line("agent", &format!("{} (API revision {})", info.agent_version, info.revision));
    match &info.engine {
        Some(engine) => print_engine(engine, line),
        None => line("engine", "not available"),
    }
    for disk in &info.disk {
        let reclaimable = text::bytes(disk.reclaimable_bytes);
        let used = text::bytes(disk.bytes);
        line(&disk.kind, &format!("{used} in {} records, {reclaimable} reclaimable", disk.count));
    }
    if !info.engine_problem.is_empty() {
        line("problem", &info.engine_problem);
    }
    if info.builds.is_empty() {
        line("builds", "none running");
    }
    for build in &info.builds {
        line("build", &format!("{} {} for {}", build.id, build.tags.join(" "), text::seconds(build.running_ms)));
    }
}

fn print_engine(engine: &pb::Engine, line: impl Fn(&str, &str)) {
    line("engine", &format!("{} {} at {}", engine.kind, engine.version, engine.address));
    if !engine.api_version.is_empty() {
        line("API", &engine.api_version);
    }
    match engine.image_store.as_str() {
        "" => line("storage", &engine.storage_driver),
        store => line("image store", &format!("{store} ({})", engine.storage_driver)),
    }
    line("platforms", &engine.platforms.join(", "));
    line("exporters", &engine.exporters.join(", "));
    line("cache exports", &engine.cache_exports.join(", "));
    line("git", if engine.git { "yes" } else { "no: the agent fetches git contexts, where it has git" });
}

fn json(info: &pb::InfoResponse) -> serde_json::Value {
    let engine = info.engine.as_ref().map(|engine| {
        serde_json::json!({
            "kind": engine.kind,
            "version": engine.version,
            "apiVersion": engine.api_version,
            "imageStore": engine.image_store,
            "storageDriver": engine.storage_driver,
            "platforms": engine.platforms,
            "exporters": engine.exporters,
            "cacheExports": engine.cache_exports,
            "git": engine.git,
            "address": engine.address,
        })
    });
    let disk = info.disk.iter().map(|disk| {
        serde_json::json!({
            "kind": disk.kind,
            "count": disk.count,
            "bytes": disk.bytes,
            "reclaimableBytes": disk.reclaimable_bytes,
        })
    });
    let builds = info
        .builds
        .iter()
        .map(|build| serde_json::json!({ "id": build.id, "tags": build.tags, "runningMs": build.running_ms }));
    serde_json::json!({
        "agentVersion": info.agent_version,
        "revision": info.revision,
        "engine": engine,
        "engineProblem": info.engine_problem,
        "disk": disk.collect::<Vec<_>>(),
        "builds": builds.collect::<Vec<_>>(),
    })
}
