//! A closure that holds something cannot be sent to another process.

use lithops::prelude::*;

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    let names = vec!["a".to_string()];
    fexec.map(move |x: i64| names.len() as i64 + x, 0..10).await?;
    Ok(())
}
