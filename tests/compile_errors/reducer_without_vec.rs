//! The reducer takes a `Vec`, not one value.

use lithops::prelude::*;

#[lithops::function]
fn length(word: String) -> usize {
    word.len()
}

#[lithops::function]
fn total(lengths: usize) -> usize {
    lengths
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    fexec.map_reduce(length, vec!["a".to_string()], total).await?;
    Ok(())
}
