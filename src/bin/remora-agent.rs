//! The agent: a gRPC server beside a Docker engine.

/// What was freed is no longer there to read: credentials and secrets pass through.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> std::process::ExitCode {
    remora::agent_cli::run()
}
