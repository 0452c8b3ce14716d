//! A function of an impl has no path that a macro could write.

struct Model;

impl Model {
    #[lithops::function]
    fn score(x: i64) -> i64 {
        x + 7
    }
}

fn main() {}
