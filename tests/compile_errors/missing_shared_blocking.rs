//! The same in the blocking form, and for a `map_reduce`.

use lithops::{blocking::FunctionExecutor, prelude::Shared};

#[lithops::function]
fn look_up(table: Shared<Vec<i64>>, index: usize) -> i64 {
    table[index]
}

#[lithops::function]
fn sum(values: Vec<i64>) -> i64 {
    values.iter().sum()
}

#[lithops::main]
fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build()?;
    fexec.map(look_up, 0..3).run()?;
    fexec.map_reduce(look_up, 0..3, sum).run()?;
    Ok(())
}
