//! The brain: decisions as pure functions of values. No I/O, nothing async, and `now` is an argument, so that every
//! decision can be tested with plain values.

pub mod prune;
pub mod retry;
