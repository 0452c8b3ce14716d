//! The reducer takes a `Vec` of what the function gives.

use lithops::prelude::*;

#[lithops::function]
fn length(word: String) -> usize {
    word.len()
}

#[lithops::function]
fn join(words: Vec<String>) -> String {
    words.join(" ")
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    fexec.map_reduce(length, vec!["a".to_string()], join).await?;
    Ok(())
}
