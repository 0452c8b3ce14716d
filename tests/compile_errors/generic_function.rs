//! A generic function cannot be found by name in another process.

#[lithops::function]
fn longest<T: Ord>(values: Vec<T>) -> Option<T> {
    values.into_iter().max()
}

fn main() {}
