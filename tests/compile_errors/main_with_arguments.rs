//! `main` has no arguments.

#[lithops::main]
async fn main(arguments: Vec<String>) -> lithops::Result<()> {
    println!("{arguments:?}");
    Ok(())
}
