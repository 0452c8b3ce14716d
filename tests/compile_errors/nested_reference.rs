//! A reference inside an argument's type is refused as well.

#[lithops::function]
fn total_length(words: Vec<&str>) -> usize {
    words.iter().map(|word| word.len()).sum()
}

fn main() {}
