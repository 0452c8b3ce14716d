//! The shared value is of the type of the parameter.

use lithops::prelude::*;

#[lithops::function]
fn look_up(table: Shared<Vec<String>>, index: usize) -> String {
    table[index].clone()
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    fexec.map(look_up, 0..3usize).shared(42u64).await?;
    Ok(())
}
