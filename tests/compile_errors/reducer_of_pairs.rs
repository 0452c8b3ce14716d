//! The reducer of Python's `functools.reduce` takes two values; this one takes all of them.

use lithops::prelude::*;

#[lithops::function]
fn double(x: i64) -> i64 {
    x * 2
}

#[lithops::function]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build().await?;
    fexec.map_reduce(double, 0..3, add).await?;
    Ok(())
}
