//! Arguments travel to another process, so that they are owned.

#[lithops::function]
fn count_letters(text: &str) -> usize {
    text.len()
}

fn main() {}
