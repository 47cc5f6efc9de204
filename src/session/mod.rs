//! The session: what the engine calls back for during a build.
#[cfg(feature = "client")]
mod filter;
#[cfg(feature = "client")]
mod packet;
#[cfg(feature = "client")]
mod path;
#[cfg(feature = "client")]
mod pattern;
#[cfg(feature = "client")]
mod walk;
