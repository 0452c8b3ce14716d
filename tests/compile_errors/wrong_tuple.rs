//! Several arguments are given as a tuple, reserved parameters left out.

use lithops::prelude::*;

#[lithops::function]
fn add(id: CallId, a: i64, b: i64) -> i64 {
    let _ = id;
    a + b
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    fexec.call_async(add, (CallId::from(0), 1, 2)).await?;
    Ok(())
}
