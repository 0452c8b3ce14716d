//! A function with a `Shared` parameter needs its value before it starts.

use lithops::prelude::*;

#[lithops::function]
fn look_up(table: Shared<Vec<String>>, index: usize) -> String {
    table[index].clone()
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    let names = fexec.map(look_up, 0..3usize).await?.get_result().await?;
    println!("{names:?}");
    Ok(())
}
