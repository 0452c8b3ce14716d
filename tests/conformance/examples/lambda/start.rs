//! How soon a process of a function asks for work: `lithops-worker`, which is built on `lambda_runtime`, beside a bare
//! loop over a socket.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::json;

use super::{Done, print};

const RUNS: usize = 40;

pub(super) fn start(worker: &str, bare: &str) -> Done {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let once = |program: &str| -> Result<f64, Box<dyn std::error::Error>> {
        let begun = Instant::now();
        let mut process = Command::new(program)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", &address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "start")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("_HANDLER", "lithops")
            .stdin(Stdio::null())
            .spawn()?;
        let (stream, _) = listener.accept()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let took = begun.elapsed().as_secs_f64() * 1e3;
        process.kill()?;
        process.wait()?;
        match line.contains("/runtime/invocation/next") {
            true => Ok(took),
            false => Err(format!("`{program}` asked: {line}").into()),
        }
    };
    let (mut of_worker, mut of_bare) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        of_worker.push(once(worker)?);
        of_bare.push(once(bare)?);
    }
    let kib = |program: &str| std::fs::metadata(program).map(|file| file.len() >> 10);
    print("lambda_start_worker", "ms", of_worker, &json!({"program_kib": kib(worker)?}));
    print("lambda_start_bare", "ms", of_bare, &json!({"program_kib": kib(bare)?}));
    Ok(())
}
