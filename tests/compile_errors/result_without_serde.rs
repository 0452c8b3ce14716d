//! What cannot be serialised cannot be a result, nor the value within a `Result`.

struct Point {
    x: f64,
}

#[lithops::function]
fn point(x: f64) -> Point {
    Point { x }
}

#[lithops::function]
fn checked_point(x: f64) -> Result<Point, String> {
    if x.is_nan() { Err("not a number".into()) } else { Ok(Point { x }) }
}

fn main() {
    let _ = point(1.0).x;
}
