//! The fake as a program.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
};

#[test]
fn it_says_where_it_is_and_ends_with_its_input() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fake-lambda"))
        .args(["--port", "0", "--concurrency", "3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /2016-08-19/account-settings/ HTTP/1.1\r\nHost: fake\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"ConcurrentExecutions\":3"), "{answer}");
    drop(program.stdin.take());
    assert!(program.wait().unwrap().success());
}

#[test]
fn it_knows_its_options() {
    let output = Command::new(env!("CARGO_BIN_EXE_fake-lambda")).arg("--what").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage: fake-lambda"));
}
