//! The inputs of a map are of the type of the function's argument.

use lithops::prelude::*;

#[lithops::function]
fn double(x: i64) -> i64 {
    2 * x
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    fexec.map(double, ["1", "2"]).await?;
    Ok(())
}
