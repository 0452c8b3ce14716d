//! A closure that borrows a variable cannot run in another process.

use lithops::prelude::*;

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    let factor = 5;
    fexec.map(|x: i64| x * factor, 0..200).await?;
    Ok(())
}
