//! What every backend and every storage must keep, as trials ([`compute`], [`storage`]), and the [`simulator`], which
//! shows that driver and tracker keep their promises with any behaviour of backends and storages.

pub mod compute;
pub mod scanners;
pub mod simulator;
pub mod storage;

/// What the registrations of the trials' functions name. Not for programs.
#[doc(hidden)]
pub mod __private {
    pub use lithops_core::{
        error::CallError,
        function::{
            Arguments, Entry, ErrorProbe, Location, NotReserved, NotResult, Probe, Registered, Return, RunFn,
            Scope, Take, ViaBoxed, ViaDisplay, ViaStdError, check_parameter, check_return, encode,
            type_id_of,
        },
        inventory,
    };

    /// What a registered function gives.
    pub type CallOutcome = ::core::result::Result<(), CallError>;
}
