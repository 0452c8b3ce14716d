//! A timeout is a whole number with a unit, above zero.

#[lithops::function(timeout = "half a minute")]
fn double(x: i64) -> i64 {
    2 * x
}

#[lithops::function(timeout = "0s")]
fn triple(x: i64) -> i64 {
    3 * x
}

fn main() {}
