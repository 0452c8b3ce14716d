//! What a scalar means: the core schema of YAML 1.2, in which `on` and `no` are strings. Numbers with leading
//! zeros are strings too, so that an account id keeps them.

use granit_parser::Tag;

use super::Problem;
use crate::config::Value;

/// The value of `text`. Only a `plain` one, without quotes, may be anything but a string.
pub(super) fn value(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Value, Problem> {
    match tag.map(|tag| (tag.core_suffix(), tag)) {
        None if plain => Ok(resolved(text)),
        // `! text` is a string, as in quotes.
        None | Some((Some("str"), _)) => Ok(Value::from(text)),
        Some((Some("null" | "bool" | "int" | "float"), _)) => Ok(resolved(text)),
        Some((_, tag)) if tag.handle().is_empty() && tag.suffix() == "!" => Ok(Value::from(text)),
        Some((_, tag)) => Err(Problem::Other(format!("the tag `{}` has no meaning here", tag.original()))),
    }
}

fn resolved(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => number(text).unwrap_or_else(|| Value::from(text)),
    }
}

fn number(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Some(Value::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY }));
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let all = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
            return all.then(|| u64::from_str_radix(digits, radix).map(Value::from).ok()).flatten();
        }
    }
    let bytes = digits.as_bytes();
    let leading_zero = bytes.first() == Some(&b'0') && bytes.get(1).is_some_and(u8::is_ascii_digit);
    if leading_zero || !is_decimal(bytes) {
        return None;
    }
    match text.strip_prefix('+').unwrap_or(text).parse::<i64>() {
        Ok(whole) => Some(Value::Int(whole)),
        Err(_) => text.parse().ok().map(Value::Float),
    }
}

/// Whether the text is `12`, `1.5`, `.5` or `1.` with or without an exponent. Rust's own reading of fractions
/// takes `infinity` and `nan` besides.
fn is_decimal(text: &[u8]) -> bool {
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let exponent_is = exponent.is_none_or(|exponent| match exponent {
        [b'+' | b'-', rest @ ..] => digits(rest),
        rest => digits(rest),
    });
    let mut parts = mantissa.splitn(2, |byte| *byte == b'.');
    let mantissa_is = match (parts.next().unwrap_or_default(), parts.next()) {
        (whole, None) => digits(whole),
        (whole, Some(fraction)) => {
            (digits(whole) && fraction.is_empty())
                || ((whole.is_empty() || digits(whole)) && digits(fraction))
        }
    };
    mantissa_is && exponent_is
}
