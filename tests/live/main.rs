//! The main job, on real engines.
//!
//! Each test gets a registry and an engine: its own where it must be empty or is restarted ([`Engine::start`]), else one
//! that all tests of a run share ([`Engine::shared`]; nextest runs every test in a process of its own, so it is shared
//! through a directory and not through a static). All of it lives in the namespaces that `tests/run.sh` makes, and
//! nothing outlives them: without that script the tests are ignored.
//!
//! [`Engine::start`]: rig::Engine::start
//! [`Engine::shared`]: rig::Engine::shared
// The rig is plain threads: what a runtime must not do, it may.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

/// Makes tests of functions that take a [`rig::Kind`]: one for each kind of engine.
macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => {
        on_every_engine!(@ docker_20_10 Docker20 $($name)+);
        on_every_engine!(@ docker_28 Docker28 $($name)+);
        on_every_engine!(@ containerd_store Containerd28 $($name)+);
        on_every_engine!(@ docker_26_over_tls Tls26 $($name)+);
    };
    (@ $module:ident $kind:ident $($name:ident)+) => {
        mod $module {
            $(
                #[test]
                #[ignore = "needs the namespaces that tests/run.sh makes"]
                fn $name() {
                    super::$name(crate::rig::Kind::$kind);
                }
            )+
        }
    };
}

/// The same on one engine of each store: for what takes long, and what the store alone decides.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        on_every_engine!(@ graphdriver Docker20 $($name)+);
        on_every_engine!(@ containerd Containerd28 $($name)+);
    };
}

/// Makes tests of functions that take a [`rig::Kind`], on one kind only.
macro_rules! on_one_engine {
    ($kind:ident: $($name:ident),+ $(,)?) => {
        on_every_engine!(@ on_one_engine $kind $($name)+);
    };
}

mod bad_input;
mod cache;
mod called;
mod cancel;
mod causes;
mod compose;
mod context;
mod contexts;
mod described;
mod doctor;
mod exported;
mod exported_directory;
mod git;
mod gitlab;
mod given;
mod guides;
mod info_and_prune;
mod jenkins;
mod kubernetes;
mod kubernetes_access;
mod main_job;
mod manual;
mod parity;
mod plan;
mod pods;
mod pool;
mod progress;
mod push;
mod restarts;
mod rig;
mod rig_works;
mod same_image;
mod systemd;
mod terminal;
mod tokens;
