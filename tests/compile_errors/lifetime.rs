//! A lifetime parameter means borrowed arguments.

#[lithops::function]
fn longest<'a>(one: &'a str, other: &'a str) -> &'a str {
    if one.len() > other.len() { one } else { other }
}

fn main() {}
