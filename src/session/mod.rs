//! stub map; merged later
mod pipe;
#[cfg(feature = "agent")]
mod lent;
#[cfg(feature = "agent")]
pub use lent::{Lent, Offer};
pub use pipe::{Chunk, pipe};
