//! `cargo xtask bench lambda`: builds and starts what the example `lambda` of the conformance suite measures.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    e2e::Server,
    steps,
    workspace::{built, cargo},
};

/// The programs of the measurement, which are built together so that each dependency is built once.
const BUILD: &[&str] = &[
    "build",
    "--release",
    "--quiet",
    "--package=lithops-conformance",
    "--package=lithops-worker",
    "--package=lithops-fake-lambda",
    "--features=lithops-worker/lambda",
    "--bins",
    "--example=lambda",
];

pub(super) fn run() -> Result<(), String> {
    steps::run(cargo().args(BUILD))?;
    let release = built("release")?;
    let folder = built("peers")?.join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let bench = release.join("examples/lambda");
    let programs = [release.join("lithops-worker"), release.join("fake-lambda-echo")];
    steps::run(Command::new(&bench).arg("start").args(&programs))?;
    let server = Server::ministack(&folder, false)?;
    let address = format!("http://127.0.0.1:{}", server.port);
    steps::run(Command::new(&bench).args(["trip", &address]).arg(&programs[0]))?;
    drop(server);
    concurrent(&bench, &[], &[])?;
    match certificate(&folder) {
        Ok((certificate, key)) => {
            let trust = [("SSL_CERT_FILE", certificate.as_str())];
            concurrent(&bench, &[&certificate, &key], &trust)?;
        }
        Err(problem) => eprintln!("TLS is not measured: {problem}"),
    }
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())
}

/// The service in one process, the client in another.
fn concurrent(bench: &Path, tls: &[&str], trust: &[(&str, &str)]) -> Result<(), String> {
    let mut service = Command::new(bench);
    service.arg("answer").args(tls).stdout(Stdio::piped());
    let mut service = Running(service.spawn().map_err(|error| error.to_string())?);
    let output = service.0.stdout.take().ok_or("the service has no output")?;
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address).map_err(|error| error.to_string())?;
    let trust = trust.iter().copied();
    steps::run(Command::new(bench).args(["concurrent", address.trim()]).envs(trust))
}

/// A self-signed certificate, and its key.
fn certificate(folder: &Path) -> Result<(String, String), String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    openssl.args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.args(["-keyout", &key, "-out", &certificate]).stderr(Stdio::null());
    steps::run(&mut openssl)?;
    Ok((certificate, key))
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
