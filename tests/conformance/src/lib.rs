//! What every storage must keep, as [trials](storage), and the [`simulator`], which shows that driver and tracker keep
//! what they promise whatever backends and storages do.

pub mod simulator;
pub mod storage;
