//! [`export_backend!`](crate::export_backend): makes a plugin of a backend.

use crate::compute::BackendDescriptor;

/// A backend that a library exports.
pub trait Exports: 'static {
    /// It.
    fn descriptor() -> &'static BackendDescriptor;
}

/// Exports a backend, so that programs can load the library as a plugin: `crate-type = ["cdylib"]`, and once in the
/// crate `lithops_core::export_backend!(DESCRIPTOR);` with the constant that is submitted to the registry otherwise.
#[macro_export]
macro_rules! export_backend {
    ($descriptor:expr) => {
        const _: () = {
            struct Exported;

            impl $crate::plugin::Exports for Exported {
                fn descriptor() -> &'static $crate::compute::BackendDescriptor {
                    static DESCRIPTOR: $crate::compute::BackendDescriptor = $descriptor;
                    &DESCRIPTOR
                }
            }

            #[used]
            #[allow(unsafe_code, reason = "a symbol that programs look for has a name of its own")]
            #[unsafe(no_mangle)]
            static LITHOPS_PLUGIN: $crate::plugin::Header = $crate::plugin::Header::of::<Exported>(
                ::core::env!("CARGO_PKG_NAME"),
                ::core::env!("CARGO_PKG_VERSION"),
            );
        };
    };
}
