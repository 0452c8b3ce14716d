//! A closure names the types of its arguments.

use lithops::prelude::*;

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    fexec.map(|x| x + 7, 0..200).await?;
    Ok(())
}
