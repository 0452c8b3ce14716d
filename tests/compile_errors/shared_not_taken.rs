//! Only a function with a `Shared` parameter is given a shared value.

use lithops::prelude::*;

#[lithops::function]
fn double(x: i64) -> i64 {
    2 * x
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    fexec.map(double, 0..3).shared(42u64).await?;
    Ok(())
}
