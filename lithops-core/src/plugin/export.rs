//! [`export_backend!`](crate::export_backend): makes a plugin from a backend.

use super::{ABI, Header, MAGIC, Text, Vtable, exports::Exports, guest};

impl Header {
    /// The header of a plugin that exports a backend.
    #[must_use]
    pub const fn of<E: Exports>(name: &'static str, version: &'static str) -> Self {
        Self {
            magic: MAGIC,
            abi_major: ABI.0,
            abi_minor: ABI.1,
            size: size_of::<Self>() as u32,
            name: Text::of(name.as_bytes()),
            version: Text::of(version.as_bytes()),
            core_version: Text::of(env!("CARGO_PKG_VERSION").as_bytes()),
            vtable: Vtable {
                describe: guest::describe::<E>,
                open: guest::open::<E>,
                call: guest::call,
                next_event: guest::next_event,
                feed: guest::feed,
                cancel: guest::cancel,
                drop: guest::drop_instance,
            },
        }
    }
}

/// Exports a backend, so that programs can load the library as a plugin. The crate needs once
/// `lithops_core::export_backend!(DESCRIPTOR);` with the constant that it otherwise submits to the registry, and
/// is built with `cargo rustc --lib --crate-type cdylib`.
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
