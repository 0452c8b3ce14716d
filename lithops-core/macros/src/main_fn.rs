//! `#[lithops::main]`: `lithops::init()`, then the user's main.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Error, ItemFn, LitStr, Path, Result, Token,
    parse::{Parse, ParseStream},
};

/// The options in the attribute's parentheses.
pub(crate) struct Options {
    krate: Path,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            return Ok(Self { krate: syn::parse_quote!(::lithops) });
        }
        if !input.peek(Token![crate]) {
            return Err(input.error("`#[lithops::main]` has one option: `crate = \"path\"`"));
        }
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        Ok(Self { krate: input.parse::<LitStr>()?.parse()? })
    }
}

/// The code of the entry point.
pub(crate) fn expand(options: &Options, function: &ItemFn) -> Result<TokenStream> {
    let signature = &function.sig;
    if signature.ident != "main" {
        return Err(Error::new(signature.ident.span(), "`#[lithops::main]` belongs on `fn main`"));
    }
    if !signature.inputs.is_empty() {
        return Err(Error::new_spanned(
            &signature.inputs,
            "`main` has no arguments: read them with `std::env::args()`",
        ));
    }
    let krate = &options.krate;
    let (attributes, visibility, output, block) =
        (&function.attrs, &function.vis, &signature.output, &function.block);
    let asyncness = &signature.asyncness;
    let run =
        if asyncness.is_some() { quote!(#krate::__private::block_on(__main())) } else { quote!(__main()) };
    // The user's main stays a function of its own, so that `?` in it knows its type.
    Ok(quote! {
        #(#attributes)*
        #visibility fn main() #output {
            #asyncness fn __main() #output #block
            #krate::init();
            #run
        }
    })
}

/// The error, with an empty function of the same name, so that a missing `main` does not hide the real error.
pub(crate) fn refuse(function: &ItemFn, error: &Error) -> TokenStream {
    let (error, name) = (error.to_compile_error(), &function.sig.ident);
    quote!(#error fn #name() {})
}
