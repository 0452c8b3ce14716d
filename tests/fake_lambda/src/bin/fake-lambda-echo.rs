//! The function of this crate's tests: it speaks the Runtime API over plain sockets, and does what its events say.
//!
//! An event is an object. What it may say, in the order in which it is done: `print` a line, `create` a file, `wait_for`
//! a file to be there, `spawn` a process that stays, `sleep` for milliseconds, `exit` with a code, be `killed`,
//! `fail` with an error; then what the response is: `raw` text, a string that is `large`, `chunks` that are streamed
//! (with `between`, a file to wait for after the first, and with `stream_error` at the end, or `cut` before it), or an
//! object that has the event and what is known of the process.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

fn main() -> io::Result<ExitCode> {
    match env::var("ECHO_INIT").as_deref() {
        Ok("exit") => return Ok(ExitCode::from(7)),
        Ok("error") => {
            let error = json!({ "errorType": "Echo.Init", "errorMessage": "cannot begin" });
            post("init/error", error.to_string().as_bytes())?;
            return Ok(ExitCode::from(1));
        }
        _ => {}
    }
    for count in 1.. {
        let (id, event) = next()?;
        let event: Value = serde_json::from_slice(&event).unwrap_or(Value::Null);
        if let Some(code) = perform(&id, &event, count)? {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Does what an event says; the code to exit with, if it says so.
fn perform(id: &str, event: &Value, count: u64) -> io::Result<Option<ExitCode>> {
    let mut spawned = Value::Null;
    if let Some(line) = event["print"].as_str() {
        writeln!(io::stdout(), "{line}")?;
    }
    if let Some(path) = event["create"].as_str() {
        fs::write(path, "")?;
    }
    if let Some(path) = event["wait_for"].as_str() {
        wait_for(path);
    }
    if event["spawn"] == true {
        // In a group of its own and without the variables, as some do.
        let child = Command::new("/bin/sleep").arg("3600").process_group(0).env_clear().spawn()?;
        spawned = child.id().into();
    }
    if let Some(millis) = event["sleep"].as_u64() {
        thread::sleep(Duration::from_millis(millis));
    }
    if let Some(code) = event["exit"].as_u64() {
        return Ok(Some(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))));
    }
    if event["killed"] == true {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
    }
    if !event["fail"].is_null() {
        post(&format!("invocation/{id}/error"), event["fail"].to_string().as_bytes())?;
    } else if let Some(text) = event["raw"].as_str() {
        respond(id, text.as_bytes())?;
    } else if let Some(len) = event["large"].as_u64() {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        respond(id, format!("\"{}\"", "x".repeat(len - 2)).as_bytes())?;
    } else if let Some(chunks) = event["chunks"].as_array() {
        stream(id, event, chunks)?;
    } else {
        let variables: BTreeMap<String, String> = env::vars().collect();
        let folder = env::current_dir()?;
        let about = json!({
            "event": event, "count": count, "pid": std::process::id(), "spawned": spawned, "id": id,
            "variables": variables, "folder": folder,
        });
        respond(id, about.to_string().as_bytes())?;
    }
    Ok(None)
}

fn next() -> io::Result<(String, Vec<u8>)> {
    let mut stream = connect()?;
    write!(stream, "GET {} HTTP/1.1\r\nHost: runtime\r\nConnection: close\r\n\r\n", path("invocation/next"))?;
    let (headers, body) = answer(stream)?;
    let id = headers.get("lambda-runtime-aws-request-id").cloned();
    Ok((id.ok_or_else(|| io::Error::other("no id"))?, body))
}

fn respond(id: &str, body: &[u8]) -> io::Result<()> {
    post(&format!("invocation/{id}/response"), body)
}

fn stream(id: &str, event: &Value, chunks: &[Value]) -> io::Result<()> {
    let mut stream = connect()?;
    write!(
        stream,
        "POST {} HTTP/1.1\r\nHost: runtime\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         Lambda-Runtime-Function-Response-Mode: streaming\r\n\
         Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n",
        path(&format!("invocation/{id}/response"))
    )?;
    for (index, chunk) in chunks.iter().enumerate() {
        let chunk = chunk.as_str().unwrap_or_default();
        write!(stream, "{:x}\r\n{chunk}\r\n", chunk.len())?;
        if index == 0
            && let Some(path) = event["between"].as_str()
        {
            wait_for(path);
        }
    }
    if event["cut"] == true {
        stream.shutdown(Shutdown::Write)?;
        // What the service thinks of it is nothing to this function, but it has to have noticed.
        return answer(stream).map(drop).or(Ok(()));
    }
    write!(stream, "0\r\n")?;
    if let Some(kind) = event["stream_error"].as_str() {
        let body = json!({ "errorType": kind, "errorMessage": "half way" }).to_string();
        write!(stream, "Lambda-Runtime-Function-Error-Type: {kind}\r\n")?;
        write!(stream, "Lambda-Runtime-Function-Error-Body: {}\r\n", BASE64_STANDARD.encode(body))?;
    }
    write!(stream, "\r\n")?;
    answer(stream).map(drop)
}

fn post(to: &str, body: &[u8]) -> io::Result<()> {
    let mut stream = connect()?;
    let len = body.len();
    write!(
        stream,
        "POST {} HTTP/1.1\r\nHost: runtime\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n",
        path(to)
    )?;
    stream.write_all(body)?;
    answer(stream).map(drop)
}

fn connect() -> io::Result<TcpStream> {
    TcpStream::connect(env::var("AWS_LAMBDA_RUNTIME_API").map_err(io::Error::other)?)
}

fn path(to: &str) -> String {
    format!("/2018-06-01/runtime/{to}")
}

fn answer(stream: TcpStream) -> io::Result<(BTreeMap<String, String>, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    Ok((headers, body))
}

fn wait_for(path: &str) {
    while !Path::new(path).exists() {
        thread::sleep(Duration::from_millis(2));
    }
}
