//! Compiles our own API, and only that: BuildKit's messages come ready-made from `bollard-buildkit-proto`.
//! protox is a protobuf compiler in Rust, so no `protoc` has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/remora/v1/agent.proto"], ["proto"])?;
    // Served by gRPC reflection, so that a stock client can explore the API.
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("remora.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".remora.v1.SessionData").compile_fds(descriptors)?;
    Ok(())
}
