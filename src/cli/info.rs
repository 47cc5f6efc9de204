//! `remora info`.

use super::{
    args::{Connection, Info},
    exit::Failures,
    pool, text,
};
use crate::{
    model::{Failure, FailureKind},
    pb, wire,
};

pub(super) async fn info(connection: &Connection, args: Info) -> Result<(), Failure> {
    let (mut told, mut failures) = (Vec::new(), Failures::default());
    let members = pool::all(connection).await?;
    let several = members.iter().any(|member| member.name.is_some());
    for mut member in members {
        let info = match member.agent.client.info(pb::InfoRequest {}).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                failures.add(member.name.as_deref(), wire::from_status(&status));
                continue;
            }
        };
        if args.json {
            told.push(json(&info));
        } else {
            member.head();
            print(&info);
        }
        if info.engine.is_none() {
            let failure = Failure::new(FailureKind::Engine, info.engine_problem).next(info.engine_next);
            failures.add(member.name.as_deref(), failure);
        }
    }
    match told.pop() {
        Some(only) if !several => text::data(&only.to_string()),
        Some(last) => text::data(&told.into_iter().chain([last]).collect::<serde_json::Value>().to_string()),
        None => {}
    }
    failures.end()
}

fn print(info: &pb::InfoResponse) {
    let line = |key: &str, value: &str| text::data(&format!("{key:<15} {value}"));
    line("agent", &format!("{} (API revision {})", info.agent_version, info.revision));
    if let Some(state) = &info.state {
        line("name", &state.name);
    }
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
    match &info.state {
        Some(state) => line("builds", &busy(state)),
        None if info.builds.is_empty() => line("builds", "none running"),
        None => {}
    }
    for build in &info.builds {
        let does = if build.waiting { "waits" } else { "runs" };
        let since = text::seconds(build.running_ms);
        line("build", &format!("{} {} {does} for {since}", build.id, build.tags.join(" ")));
    }
}

fn busy(state: &pb::StateResponse) -> String {
    let pb::StateResponse { running, waiting, max_builds, max_queue, draining, .. } = state;
    let limit = if *max_builds == 0 { "no limit".to_owned() } else { format!("{max_builds} at once") };
    let going = if *draining { "; it is shutting down" } else { "" };
    format!("{running} running ({limit}), {waiting} waiting ({max_queue} at most){going}")
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
    let builds = info.builds.iter().map(|build| {
        let pb::RunningBuild { id, tags, running_ms, waiting, ahead, steps: _ } = build;
        serde_json::json!({ "id": id, "tags": tags, "runningMs": running_ms, "waiting": waiting, "ahead": ahead })
    });
    let state = info.state.as_ref().map(|state| {
        serde_json::json!({
            "name": state.name,
            "running": state.running,
            "waiting": state.waiting,
            "maxBuilds": state.max_builds,
            "maxQueue": state.max_queue,
            "draining": state.draining,
        })
    });
    serde_json::json!({
        "agentVersion": info.agent_version,
        "revision": info.revision,
        "engine": engine,
        "engineProblem": info.engine_problem,
        "disk": disk.collect::<Vec<_>>(),
        "builds": builds.collect::<Vec<_>>(),
        "state": state,
    })
}
