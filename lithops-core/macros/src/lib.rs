//! The attributes of lithops. Use them through the `lithops` crate, because the code that they write names
//! its paths.

mod function;
mod main_fn;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Registers a function, so that `map`, `map_reduce` and `call_async` can run it in another process.
///
/// The function itself does not change: it can still be called, passed on, documented and tested. Its
/// arguments are owned values that implement `Serialize` and `Deserialize`; reserved parameters (`CallId`,
/// `CallContext`, `StorageClient`, `Shared<T>`) are filled in. The function may be `async`, and may return a
/// `Result`.
///
/// Options: `name = "x"` (a name that stays when the function moves), `timeout = "30s"`, `retries = 3`,
/// `at_most_once` (never begun twice), `crate = "path"` (when `lithops` is renamed).
#[proc_macro_attribute]
pub fn function(options: TokenStream, item: TokenStream) -> TokenStream {
    let original = proc_macro2::TokenStream::from(item.clone());
    let options = parse_macro_input!(options as function::Options);
    let function = parse_macro_input!(item as syn::ItemFn);
    let registration =
        function::expand(&options, &function).unwrap_or_else(|error| error.into_compile_error());
    // The user's own tokens come first and unchanged, also after an error, so that the compiler reports no
    // further errors that would hide the real one.
    quote::quote!(#original #registration).into()
}

/// Makes `main` the entry point of a lithops program, `async` or not.
///
/// The new `main` calls `lithops::init()` first: there, a process that was started as a worker becomes one.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as main_fn::Options);
    let function = parse_macro_input!(item as syn::ItemFn);
    main_fn::expand(&options, &function).unwrap_or_else(|error| main_fn::refuse(&function, &error)).into()
}
