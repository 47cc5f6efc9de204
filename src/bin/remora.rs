//! The client that pipeline steps run.

fn main() -> std::process::ExitCode {
    remora::cli::run()
}
