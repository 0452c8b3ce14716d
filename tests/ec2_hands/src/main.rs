//! What moto's EC2 lacks, for tests. It stands between a client and moto, and has hands: each instance that moto has on
//! record runs its user data as processes of this machine, with AWS's own `ec2-metadata-mock` as its metadata service.
//!
//! `ec2-hands MOTO FOLDER METADATA_MOCK` serves on loopback, prints its port, and ends with its standard input: no
//! instance is left then.
//!
//! ```text
//!  client ──> hands ──> moto: records of instances, templates, subnets, types; S3 beside it
//!               │ client tokens, missing capacity, lost answers, late instances, consoles
//!               └──> bash user-data  (PATH: shutdown, curl, aws, systemd-run, systemctl)
//! ```
//!
//! What tests ask for stands below `/_hands/`: `faults`, `state`, `templates`, `requests`, `spot/ID`, `lose/ID`.

mod answer;
mod faults;
mod fleet;
mod form;
mod instance;
mod machine;
mod moto;
mod region;
mod serve;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]
fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [moto, folder, metadata] = arguments.as_slice() else {
        eprintln!("usage: ec2-hands HOST:PORT_OF_MOTO FOLDER METADATA_MOCK");
        return ExitCode::from(2);
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ec2-hands: {error}");
            return ExitCode::FAILURE;
        }
    };
    let served = runtime.block_on(async {
        let tools = machine::Tools::new(PathBuf::from(folder), PathBuf::from(metadata))?;
        let region = Arc::new(region::Region::new(moto::Moto::new(moto), tools));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        region.set_port(port);
        println!("{port}");
        tokio::select! {
            () = serve::serve(listener, Arc::clone(&region)) => {}
            () = input_ends() => {}
        }
        region.end_all().await;
        std::io::Result::Ok(())
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ec2-hands: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for the end of the standard input, which comes with that of the process that has started this one.
async fn input_ends() {
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(tell);
    });
    let _ = told.await;
}
