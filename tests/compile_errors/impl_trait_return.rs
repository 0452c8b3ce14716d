//! A result has a type with a name.

#[lithops::function]
fn evens(limit: u32) -> impl Iterator<Item = u32> {
    (0..limit).step_by(2)
}

fn main() {}
