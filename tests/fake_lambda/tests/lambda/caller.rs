//! [`Caller`]: a client of a fake of its own, and packages of the function that does what its events say.

use std::{
    io::{Cursor, Write as _},
    path::PathBuf,
    sync::LazyLock,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use lithops_fake_lambda::{FakeLambda, Settings, event_stream::Message};
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/worker";

/// A package with the function of these tests, in base64.
pub(crate) static ECHO: LazyLock<String> = LazyLock::new(|| {
    let program = std::fs::read(env!("CARGO_BIN_EXE_fake-lambda-echo")).expect("it works");
    zip(&[("bootstrap", &program, 0o755)])
});

/// A client of a fake of its own.
pub(crate) struct Caller {
    pub(crate) fake: FakeLambda,
    client: Client<HttpConnector, Full<Bytes>>,
    folder: TempDir,
}

/// An answer, all of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The events of a response while it comes.
pub(crate) struct Events {
    body: Incoming,
    buffer: BytesMut,
}

impl Caller {
    /// Functions are active at once.
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::start_slowly(Settings { pending: Duration::ZERO, ..settings }).await
    }

    pub(crate) async fn start_slowly(settings: Settings) -> Self {
        let fake = FakeLambda::start(settings).await.expect("it works");
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { fake, client, folder: tempfile::tempdir().expect("it works") }
    }

    /// A fake with one function, which is called `f`.
    pub(crate) async fn with_function(settings: Settings) -> Self {
        let caller = Self::start(settings).await;
        let created = caller.create("f", json!({})).await;
        assert_eq!(created.status, 201, "{created:?}");
        caller
    }

    /// A path where nothing is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn create(&self, name: &str, extra: Value) -> Answer {
        let mut body = creation(name);
        for (key, value) in extra.as_object().expect("it works") {
            body[key] = value.clone();
        }
        self.ask(Method::POST, "/2015-03-31/functions", &[], body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], String::new()).await
    }

    pub(crate) async fn invoke(&self, event: Value) -> Answer {
        self.invoke_with(&[], event.to_string()).await
    }

    pub(crate) async fn invoke_with(&self, headers: &[(&str, &str)], body: String) -> Answer {
        self.ask(Method::POST, "/2015-03-31/functions/f/invocations", headers, body).await
    }

    pub(crate) async fn invoke_streaming(&self, event: Value) -> Events {
        let path = "/2021-11-15/functions/f/response-streaming-invocations";
        let answer = self.send(Method::POST, path, &[("x-amz-log-type", "Tail")], event.to_string()).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/vnd.amazon.eventstream");
        Events { body: answer.into_body(), buffer: BytesMut::new() }
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Answer {
        let answer = self.send(method, path, headers, body).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("it works").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Response<Incoming> {
        let uri = format!("{}{path}", self.fake.endpoint());
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.client.request(request.body(Full::from(body)).expect("it works")).await.expect("it works")
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The exception that a request was refused with.
    pub(crate) fn exception(&self) -> &str {
        let exception = self.headers.get("x-amzn-errortype").unwrap_or_else(|| panic!("{self:?}"));
        assert!(self.json()["Message"].is_string(), "{self:?}");
        exception.to_str().expect("it works")
    }

    /// What a function has failed with.
    pub(crate) fn function_error(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.headers.get("x-amz-function-error").expect("it works"), "Unhandled", "{self:?}");
        self.json()
    }

    /// What a function has answered.
    pub(crate) fn response(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.headers.get("x-amz-function-error"), None, "{self:?}");
        self.json()
    }

    pub(crate) fn log(&self) -> String {
        decode(self.headers["x-amz-log-result"].to_str().expect("it works"))
    }
}

impl Events {
    /// The next event, if the response goes on.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = Message::decode(&mut self.buffer).expect("it works") {
                return Some(message);
            }
            let frame = self.body.frame().await?;
            self.buffer.extend_from_slice(frame.expect("it works").data_ref().expect("it works"));
        }
    }

    /// The bytes of all that are left, and what the response ends with.
    pub(crate) async fn rest(mut self) -> (Vec<u8>, Value) {
        let mut bytes = Vec::new();
        while let Some(message) = self.next().await {
            match message.kind() {
                Some("PayloadChunk") => bytes.extend_from_slice(&message.payload),
                Some("InvokeComplete") => {
                    assert_eq!(self.next().await, None, "it is the last");
                    return (bytes, serde_json::from_slice(&message.payload).expect("it works"));
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("the response has no end");
    }
}

/// What creates a function.
pub(crate) fn creation(name: &str) -> Value {
    json!({
        "FunctionName": name, "Runtime": "provided.al2023", "Role": ROLE, "Handler": "bootstrap",
        "Code": { "ZipFile": *ECHO },
    })
}

/// A package with these files and their modes, in base64.
pub(crate) fn zip(files: &[(&str, &[u8], u32)]) -> String {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes, mode) in files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .unix_permissions(*mode);
        zip.start_file(*name, options).expect("it works");
        zip.write_all(bytes).expect("it works");
    }
    BASE64_STANDARD.encode(zip.finish().expect("it works").into_inner())
}

pub(crate) fn decode(base64: &str) -> String {
    String::from_utf8(BASE64_STANDARD.decode(base64).expect("it works")).expect("it works")
}

/// The letter that the kernel has for the state of a process, unless it is gone.
pub(crate) fn state(pid: u64) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process is gone, but for its parent that has not heard of it.
pub(crate) fn is_gone(pid: u64) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}
