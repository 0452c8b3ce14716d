//! A method is not found by name alone.

struct Model(f64);

impl Model {
    #[lithops::function]
    fn predict(&self, x: f64) -> f64 {
        self.0 * x
    }
}

fn main() {}
