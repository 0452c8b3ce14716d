//! What every backend must keep, and the simulator that shows that driver and tracker keep it.
//!
//! Today this crate has the [`simulator`]. It runs no function and starts no process.

pub mod simulator;
