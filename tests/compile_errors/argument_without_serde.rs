//! What cannot be serialised cannot be an argument.

struct Point {
    x: f64,
    y: f64,
}

#[lithops::function]
fn norm(point: Point) -> f64 {
    point.x.hypot(point.y)
}

fn main() {}
