//! The error of a function can at least be displayed.

struct Failure;

#[lithops::function]
fn halve(x: u32) -> Result<u32, Failure> {
    if x % 2 == 0 { Ok(x / 2) } else { Err(Failure) }
}

fn main() {}
