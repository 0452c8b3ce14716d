//! [`Hands`]: the program of `tests/ec2_hands`, which runs the instances of moto.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

/// The program that runs instances. They end with it.
#[derive(Debug)]
pub(super) struct Hands {
    process: Child,
    pub(super) port: u16,
}

impl Hands {
    pub(super) fn start(program: &Path, moto: u16, folder: &Path, metadata: &Path) -> Result<Self, String> {
        let log = File::create(folder.join("hands.log")).map_err(|error| error.to_string())?;
        let mut process = Command::new(program)
            .arg(format!("127.0.0.1:{moto}"))
            .arg(folder.join("instances"))
            .arg(metadata)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot start `{}`: {error}", program.display()))?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        let port = line.trim().parse().map_err(|_| {
            let said = std::fs::read_to_string(folder.join("hands.log")).unwrap_or_default();
            format!("`{}` says no port: {said}", program.display())
        })?;
        Ok(Self { process, port })
    }

    /// What goes wrong from now on, as `faults.rs` of the hands has it.
    pub(super) fn faults(&self, faults: &Value) -> Result<(), String> {
        self.ask("POST", "faults", &faults.to_string()).map(drop)
    }

    /// All instances that there ever were.
    pub(super) fn instances(&self) -> Result<Vec<Value>, String> {
        match self.json("state")? {
            Value::Array(instances) => Ok(instances),
            other => Err(format!("no list of instances: {other}")),
        }
    }

    /// The names of all launch templates that there are.
    pub(super) fn templates(&self) -> Result<Vec<Value>, String> {
        match self.json("templates")? {
            Value::Array(names) => Ok(names),
            other => Err(format!("no list of templates: {other}")),
        }
    }

    /// All requests to EC2 that there were.
    pub(super) fn requests(&self) -> Result<Vec<Value>, String> {
        match self.json("requests")? {
            Value::Array(requests) => Ok(requests),
            other => Err(format!("no list of requests: {other}")),
        }
    }

    fn json(&self, what: &str) -> Result<Value, String> {
        serde_json::from_str(&self.ask("GET", what, "")?).map_err(|error| error.to_string())
    }

    /// Tells the hands something; gives their answer.
    pub(super) fn ask(&self, method: &str, what: &str, body: &str) -> Result<String, String> {
        let request = format!(
            "{method} /_hands/{what} HTTP/1.1\r\nHost: hands\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let exchange = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        let answer = exchange().map_err(|error| format!("the hands do not answer: {error}"))?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(format!("the hands refuse `{what}`: {answer}")),
        }
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        // The end of its input tells it to end the instances first.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
