//! A closure that takes a variable along cannot run in another process.

use lithops::prelude::*;

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    let name = String::from("x");
    fexec.call_async(move |x: i64| format!("{name}{x}"), 1).await?;
    Ok(())
}
