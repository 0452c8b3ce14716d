//! Some errors are found only when code is generated, which needs a program that compiles.

use lithops::blocking::FunctionExecutor;

#[lithops::main]
fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().build()?;
    assert_eq!(fexec.map(|x: i64| x + 7, 0..3).run()?.get_result()?, [7, 8, 9]);
    Ok(())
}
