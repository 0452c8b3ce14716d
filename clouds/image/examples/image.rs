//! Makes an image of a program, and writes it to files or pushes it to a registry:
//! `cargo run -p lithops-image --example image -- PROGRAM (oci:DIR | tar:FILE | push) NAME [ARG]..`

#![expect(clippy::print_stdout, reason = "it is a program for the terminal")]

use lithops_core::error::{Error, ErrorKind, Result};
use lithops_image::{ImageBuilder, Logins, Output, Reference, Repository};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(program), Some(to), Some(name)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err(Error::new(ErrorKind::InvalidInput, "a program, a place and a name are missing")
            .with_hint("write `PROGRAM tar:FILE NAME`"));
    };
    let image = arguments.fold(ImageBuilder::new(program), ImageBuilder::arg).build().await?;
    println!("sha256:{} has {} bytes", image.digest(), image.size());
    if to == "push" {
        let reference: Reference = name.parse()?;
        let repository = Repository::open(&reference, &Logins::of_environment()).await?;
        let pushed = repository.push(&image, reference.tag()).await?;
        println!("{}: {} uploads in {} requests", pushed.reference, pushed.uploads, pushed.requests);
    } else {
        image.write(&to.parse::<Output>()?, &name).await?;
    }
    Ok(())
}
