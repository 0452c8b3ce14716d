//! Requests, and what is heard of their answers.

use std::{
    io::{Read, Write},
    net::TcpStream,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lithops_activations::{Activation, Limits, ServiceClient};
use lithops_core::{
    artifact::ProgramRef,
    compute::{
        Answer, EventKind, ExitReason, InFlight, Invocation, InvocationId, InvokeRequest, encode_request,
    },
    protocol::{FrameKind, FrameReader, Tag},
};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use super::worker::Worker;

/// What a request is made of.
pub(crate) struct Request {
    pub(crate) running: ProgramRef,
    pub(crate) invoke: InvokeRequest,
    pub(crate) limits: Limits,
}

impl Request {
    pub(crate) fn encode(&self) -> Activation {
        Activation::new(&self.running, &self.invoke, self.limits).expect("encoded")
    }
}

/// One outcome.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) call: u64,
    pub(crate) tag: Tag,
    value: Vec<u8>,
}

impl Outcome {
    pub(crate) fn value<T: serde::de::DeserializeOwned>(&self) -> T {
        assert_eq!(self.tag, Tag::Ok);
        lithops_core::value::decode(&self.value).expect("a value")
    }
}

/// What was heard of an activation.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) answer: Answer,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) started: bool,
}

/// An activation that runs; it is ended when this is dropped.
pub(crate) struct Running {
    in_flight: InFlight,
    invocation: Invocation,
    answer: Arc<Mutex<Option<Answer>>>,
    outcomes: Vec<Outcome>,
    started: bool,
}

impl Heard {
    pub(crate) fn begin(client: &Arc<ServiceClient>, activation: Activation) -> Running {
        let (in_flight, client) = (InFlight::new(1), Arc::clone(client));
        let answer = Arc::<Mutex<Option<Answer>>>::default();
        let told = Arc::clone(&answer);
        let invocation = in_flight.spawn(InvocationId("it".to_owned()), activation.id, |events| async move {
            let answer = client.run(&activation, &events).await;
            *told.lock().expect("no panic") = Some(answer);
            ExitReason::Finished
        });
        let invocation = invocation.expect("there is room");
        Running { in_flight, invocation, answer, outcomes: Vec::new(), started: false }
    }

    /// Runs an activation to its end.
    pub(crate) async fn all(client: &Arc<ServiceClient>, activation: Activation) -> Self {
        Self::begin(client, activation).end().await
    }
}

impl Running {
    /// Takes the next event in; `false` when it was the last.
    async fn next(&mut self) -> bool {
        let Some(event) = self.invocation.events.next().await else { return false };
        match event.expect("an event").kind {
            EventKind::Started => self.started = true,
            EventKind::Report(report) => {
                let run = report.header.run;
                for (index, call) in (run.first..run.end()).enumerate() {
                    let (tag, value) = (report.tag(index), report.value(index).to_vec());
                    self.outcomes.push(Outcome { call, tag, value });
                }
            }
            _ => {}
        }
        true
    }

    /// Waits until this many outcomes have come.
    pub(crate) async fn outcomes(&mut self, count: usize) {
        while self.outcomes.len() < count {
            assert!(self.next().await, "it has ended with {:?}", self.answer);
        }
    }

    /// Waits until the worker has said hello, or has refused the activation.
    pub(crate) async fn started_or_refused(mut self) -> Option<Self> {
        while !self.started {
            if !self.next().await {
                return None;
            }
        }
        Some(self)
    }

    pub(crate) async fn end(mut self) -> Heard {
        while self.next().await {}
        let answer = self.answer.lock().expect("no panic").take().expect("it has ended");
        Heard { answer, outcomes: std::mem::take(&mut self.outcomes), started: self.started }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.in_flight.abort_all();
    }
}

/// The frames of an answer, one by one.
pub(crate) struct Frames(FrameReader<Pin<Box<dyn AsyncRead + Send>>>);

impl Frames {
    pub(crate) async fn post(address: &str, request: &Request) -> (Self, u16) {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = made.expect("a connection");
        tokio::spawn(connection.map(drop));
        let heartbeat = request.limits.heartbeat.as_millis().to_string();
        let frames = encode_request(&request.running, &request.invoke).expect("encoded");
        let posted = hyper::Request::post(format!("http://{address}/v1/activation"))
            .header("lithops-heartbeat-ms", heartbeat)
            .body(Full::new(Bytes::from(frames)));
        let answer = sender.send_request(posted.expect("a request")).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().into_data_stream().map_err(std::io::Error::other);
        // The connection lives as long as the answer is read.
        let body = body.chain(futures_util::stream::once(async move {
            drop(sender);
            Ok(Bytes::new())
        }));
        let reader: Pin<Box<dyn AsyncRead + Send>> = Box::pin(StreamReader::new(Box::pin(body)));
        (Self(FrameReader::new(reader)), status)
    }

    pub(crate) async fn next(&mut self) -> FrameKind {
        self.0.next().await.expect("no error").expect("a frame").kind
    }
}

/// A request by hand, and what it must be answered.
pub(crate) struct Tried {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) body: &'static str,
    pub(crate) status: u16,
    pub(crate) says: &'static str,
}

/// Makes a request by hand over HTTP/1.1.
pub(crate) async fn tried(worker: &Worker, case: &Tried) {
    let Tried { method, path, body, status, says } = case;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: worker\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let address = worker.process.address.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    });
    let answer = answer.await.expect("no panic");
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
    assert!(answer.contains(says), "{method} {path}: {answer}");
    assert!(answer.to_lowercase().contains("lithops-worker: ready"), "{answer}");
}
