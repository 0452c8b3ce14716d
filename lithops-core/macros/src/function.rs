//! `#[lithops::function]`: the checks, and the code that registers the function.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Error, FnArg, GenericArgument, GenericParam, Ident, ItemFn, Lit, LitInt, LitStr, Path, PathArguments,
    Result, ReturnType, Safety, Token, Type,
    parse::{Parse, ParseStream},
    spanned::Spanned,
};

/// The options in the attribute's parentheses.
pub(crate) struct Options {
    name: Option<LitStr>,
    timeout_ms: Option<u64>,
    retries: u32,
    at_most_once: bool,
    krate: Path,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self {
            name: None,
            timeout_ms: None,
            retries: 0,
            at_most_once: false,
            krate: syn::parse_quote!(::lithops),
        };
        let mut retries_at = None;
        while !input.is_empty() {
            if input.peek(Token![crate]) {
                input.parse::<Token![crate]>()?;
                input.parse::<Token![=]>()?;
                options.krate = input.parse::<LitStr>()?.parse()?;
            } else {
                let key: Ident = input.parse()?;
                match key.to_string().as_str() {
                    "at_most_once" => options.at_most_once = true,
                    "name" => {
                        input.parse::<Token![=]>()?;
                        let name: LitStr = input.parse()?;
                        if name.value().is_empty() {
                            return Err(Error::new(name.span(), "the name is empty"));
                        }
                        options.name = Some(name);
                    }
                    "timeout" => {
                        input.parse::<Token![=]>()?;
                        options.timeout_ms = Some(milliseconds(&text_of_timeout(input)?)?);
                    }
                    "retries" => {
                        retries_at = Some(key.span());
                        input.parse::<Token![=]>()?;
                        options.retries = input.parse::<LitInt>()?.base10_parse()?;
                    }
                    other => {
                        return Err(Error::new(
                            key.span(),
                            format!(
                                "unknown option `{other}`: `name`, `timeout`, `retries`, `at_most_once` and `crate` exist"
                            ),
                        ));
                    }
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        match retries_at {
            Some(span) if options.at_most_once && options.retries > 0 => Err(Error::new(
                span,
                "`retries` and `at_most_once` exclude each other: a call that is never begun twice cannot be tried again",
            )),
            _ => Ok(options),
        }
    }
}

/// The text of a timeout: a number alone has no unit.
fn text_of_timeout(input: ParseStream<'_>) -> Result<LitStr> {
    match input.parse::<Lit>()? {
        Lit::Str(text) => Ok(text),
        Lit::Int(number) => Err(Error::new(
            number.span(),
            format!(
                "a timeout has a unit and is a text: write `timeout = \"{number}s\"` for {number} seconds"
            ),
        )),
        other => Err(Error::new(other.span(), "a timeout is a text such as \"30s\", \"500ms\" or \"2m\"")),
    }
}

fn milliseconds(text: &LitStr) -> Result<u64> {
    let value = text.value();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &value[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let parsed =
        digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|number| *number > 0);
    parsed.ok_or_else(|| {
        Error::new(text.span(), format!("`{value}` is not a timeout: write a whole number and a unit, such as \"30s\", \"500ms\" or \"2m\""))
    })
}

/// The code that registers a function, or the error of a function that cannot be registered.
pub(crate) fn expand(options: &Options, function: &ItemFn) -> Result<TokenStream> {
    let parameters = check(function)?;
    let krate = &options.krate;
    let name = &function.sig.ident;
    let returned: Type = match &function.sig.output {
        ReturnType::Default => syn::parse_quote!(()),
        ReturnType::Type(_, returned) => (**returned).clone(),
    };
    let values: Vec<_> = (0..parameters.len()).map(|index| format_ident!("__a{index}")).collect();
    let reserved: Vec<_> =
        parameters.iter().map(|ty| quote_spanned!(ty.span()=> { __l::Probe::<#ty>::RESERVED })).collect();
    let takes = parameters.iter().zip(&reserved).zip(&values).map(|((ty, reserved), value)| {
        quote_spanned!(ty.span()=> let #value = <#ty as __l::Take<#reserved>>::take(__scope, &mut __arguments)?;)
    });
    let checks = parameters
        .iter()
        .zip(&reserved)
        .map(|(ty, reserved)| quote_spanned!(ty.span()=> __l::check_parameter::<#ty, #reserved>();));
    let result = quote_spanned!(returned.span()=> { __l::Probe::<#returned>::RESULT });
    let check_return = quote_spanned!(returned.span()=> __l::check_return::<#returned, #result>(););
    let encode = quote_spanned!(returned.span()=> __l::encode(&__value, __out));
    let call_error = quote_spanned!(returned.span()=> (&&&__l::ErrorProbe::new(__error)).call_error());
    let call = quote!(#name(#(#values),*));
    let finish = |call: TokenStream| {
        quote! {
            #[allow(unused_imports, reason = "written by a macro: not every function needs each of them")]
            use __l::{NotReserved as _, NotResult as _, ViaBoxed as _, ViaDisplay as _, ViaStdError as _};
            let mut __arguments = __l::Arguments::new(__input, __INPUTS)?;
            #(#takes)*
            match <#returned as __l::Return<#result>>::split(#call) {
                ::core::result::Result::Ok(__value) => #encode,
                ::core::result::Result::Err(__error) => ::core::result::Result::Err(#call_error),
            }
        }
    };
    let (signature, body, variant) = if function.sig.asyncness.is_some() {
        let body = finish(quote!(#call.await));
        (
            quote!(
                ::core::pin::Pin<
                    ::std::boxed::Box<dyn ::core::future::Future<Output = __l::CallOutcome> + 'a>,
                >
            ),
            quote!(::std::boxed::Box::pin(async move { #body })),
            quote!(Async),
        )
    } else {
        (quote!(__l::CallOutcome), finish(call), quote!(Sync))
    };
    let explicit = options
        .name
        .as_ref()
        .map_or(quote!(::core::option::Option::None), |name| quote!(::core::option::Option::Some(#name)));
    let timeout = options
        .timeout_ms
        .map_or(quote!(::core::option::Option::None), |ms| quote!(::core::option::Option::Some(#ms)));
    let (retries, at_most_once) = (options.retries, options.at_most_once);
    let text = name.to_string();
    let constant = format_ident!("__lithops_function_{}", text.trim_start_matches("r#"));
    let position = quote_spanned!(name.span()=> __l::Location { file: ::core::file!(), line: ::core::line!(), column: ::core::column!() });
    Ok(quote! {
        #[allow(clippy::all, clippy::pedantic, unreachable_code, unused_variables, unused_mut, non_snake_case, deprecated, reason = "written by a macro")]
        #[allow(dead_code, non_upper_case_globals, reason = "it has a name only so that it may stand in an impl, where the compiler then names the mistake")]
        const #constant: () = {
            use #krate::__private as __l;
            #[allow(unused_imports, reason = "written by a macro: not every function needs each of them")]
            use __l::{NotReserved as _, NotResult as _};
            fn __check() {
                #(#checks)*
                #check_return
            }
            const __INPUTS: usize = 0 #(+ !#reserved as usize)*;
            fn __run<'a>(__scope: &'a __l::Scope<'a>, __input: &'a [u8], __out: &'a mut ::std::vec::Vec<u8>) -> #signature {
                #body
            }
            static __ENTRY: __l::Entry = __l::Entry {
                path: ::core::concat!(::core::module_path!(), "::", #text),
                name: #explicit,
                at: #position,
                timeout_ms: #timeout,
                retries: #retries,
                at_most_once: #at_most_once,
                uses_storage: false #(|| __l::Probe::<#parameters>::STORAGE)*,
                takes_object: false #(|| __l::Probe::<#parameters>::OBJECT)*,
                type_id: || { let _ = __check; __l::type_id_of(&#name) },
                run: __l::RunFn::#variant(__run),
                address: ::core::option::Option::None,
            };
            __l::inventory::submit! { __l::Registered(&__ENTRY) }
        };
    })
}

const BORROWED: &str = "arguments and results of a lithops function are owned: they travel to another process; \
                        write `String` for `&str`, `Vec<T>` for `&[T]`, `T` for `&T`";

const GENERIC: &str = "a lithops function cannot be generic: another process must find it by name; write one function \
                       per type";

/// The types of the parameters, or the first reason why the function cannot run in another process.
fn check(function: &ItemFn) -> Result<Vec<&Type>> {
    let signature = &function.sig;
    if let Some(parameter) = signature.generics.params.first() {
        let message = match parameter {
            GenericParam::Lifetime(_) => BORROWED,
            _ => GENERIC,
        };
        return Err(Error::new_spanned(parameter, message));
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        return Err(Error::new(
            unsafety.span(),
            "a lithops function cannot be `unsafe`: wrap it in a safe one",
        ));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(Error::new(variadic.span(), "a lithops function cannot be variadic"));
    }
    if let ReturnType::Type(_, returned) = &signature.output {
        // Only a reference itself is refused. The error of a `Result` may be a `&'static str`: it becomes
        // text before it travels.
        if let Type::Reference(_) = &**returned {
            return Err(Error::new_spanned(returned, BORROWED));
        }
        if is_impl_trait(returned) {
            return Err(Error::new_spanned(
                returned,
                "a lithops function returns a type with a name, not `impl Trait`: use `async fn` or write the type",
            ));
        }
    }
    let mut types = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                return Err(Error::new_spanned(
                    receiver,
                    "a method cannot be a lithops function: write a free function and pass the value as an argument",
                ));
            }
            FnArg::Typed(parameter) => {
                if let Some(borrowed) = reference(&parameter.ty) {
                    return Err(Error::new_spanned(borrowed, BORROWED));
                }
                if is_impl_trait(&parameter.ty) {
                    return Err(Error::new_spanned(
                        &parameter.ty,
                        "an argument of a lithops function has a type with a name, not `impl Trait`",
                    ));
                }
                types.push(&*parameter.ty);
            }
        }
    }
    if types.len() > 12 {
        return Err(Error::new_spanned(
            &signature.inputs,
            "a lithops function has at most 12 parameters: use a struct",
        ));
    }
    Ok(types)
}

/// The first reference within an argument's type.
fn reference(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Reference(_) => Some(ty),
        Type::Array(array) => reference(&array.elem),
        Type::Group(group) => reference(&group.elem),
        Type::Paren(paren) => reference(&paren.elem),
        Type::Slice(slice) => reference(&slice.elem),
        Type::Tuple(tuple) => tuple.elems.iter().find_map(reference),
        Type::Path(path) => path.path.segments.iter().find_map(|segment| match &segment.arguments {
            PathArguments::AngleBracketed(list) => list.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => reference(ty),
                _ => None,
            }),
            _ => None,
        }),
        _ => None,
    }
}

fn is_impl_trait(ty: &Type) -> bool {
    matches!(ty, Type::ImplTrait(_))
}
