//! The attribute belongs on `fn main`.

#[lithops::main]
async fn start() -> lithops::Result<()> {
    Ok(())
}

fn main() {}
