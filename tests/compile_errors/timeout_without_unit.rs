//! A timeout without a unit could be anything.

#[lithops::function(timeout = 30)]
fn f(x: i64) -> i64 {
    x
}

fn main() {}
