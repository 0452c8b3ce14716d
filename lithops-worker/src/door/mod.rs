//! Doors: how calls come to the pool and reports go back.

mod pull;
mod stdio;

pub use stdio::stdio;
