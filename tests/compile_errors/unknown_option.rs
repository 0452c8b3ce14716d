//! An option that does not exist is named, with those that do.

#[lithops::function(retry = 3)]
fn double(x: i64) -> i64 {
    2 * x
}

fn main() {}
