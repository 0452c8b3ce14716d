//! [`ServiceClient`]: runs activations in a service, and says how each has ended.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{CONTENT_TYPE, HOST, HeaderValue},
    http::uri::{PathAndQuery, Scheme},
};
use lithops_core::{
    compute::{Answer, Event, EventKind, EventSender, ExitReason, Health},
    error::{Error, ErrorKind, Result},
    protocol::{Frame, FrameKind, FrameReader, Hello},
};
use tokio::{
    io::AsyncRead,
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::io::StreamReader;

use crate::{
    activation::{Activation, Limits},
    connections::{Connections, Place},
    connector::{Connector, in_words},
    failure::Refusal,
    rules::{ServiceRules, Target},
};

const PATH: PathAndQuery = PathAndQuery::from_static("/v1/activation");
const FRAMES: HeaderValue = HeaderValue::from_static("application/x-lithops");
/// The headers with the time that the calls have and with the longest time without a frame, in milliseconds.
const DEADLINE: &str = "lithops-deadline-ms";
const HEARTBEAT: &str = "lithops-heartbeat-ms";
/// The buffer of one answer. Thousands are read at once, and little comes over each: more would be wasted.
const BLOCK: usize = 4 << 10;
/// The most bytes that are read of an answer that is none of a worker.
const LONGEST_REFUSAL: usize = 16 << 10;
/// How long such an answer may take to come.
const REFUSAL: Duration = Duration::from_secs(5);
/// How often the platform is asked why no worker answers, while none ever has.
const LOOK: Duration = Duration::from_secs(5);
/// After this many activations without an answer, while none ever had one, the platform is asked at once.
const UNANSWERED: u32 = 3;
/// A platform may let a request in beside an activation that is being stopped: for this long, with these pauses, the request
/// is made again, until a worker is free.
const BUSY: Duration = Duration::from_secs(2);
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// The connections to one service, and what is known of it.
#[derive(Debug)]
pub struct ServiceClient {
    target: Target,
    connections: Connections,
    rules: Arc<dyn ServiceRules>,
    health: Arc<Health>,
    /// How many activations had no answer; and held by the activation that asks the platform why.
    unanswered: Mutex<u32>,
}

impl ServiceClient {
    /// A client of the service at `target`. Nothing is connected yet.
    ///
    /// # Errors
    /// There can be no connection to the target.
    pub fn new(target: Target, rules: Arc<dyn ServiceRules>) -> Result<Self> {
        let connections = Connections::new(Connector::new(&target.connect, target.http2)?);
        Ok(Self { target, connections, rules, health: Arc::default(), unanswered: Mutex::default() })
    }

    /// The state of the service, by its answers until now.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Runs an activation. All events but the last go to `events`; the last is the reason that is returned, after a pause
    /// where the service should have one. To drop the future ends the activation: its worker stops the calls.
    pub async fn activate(&self, activation: &Activation, events: &EventSender) -> ExitReason {
        let pending = self.health.begin();
        let answer = self.run(activation, events).await;
        let (reason, pause) = pending.judge(answer, activation.once);
        tokio::time::sleep(pause).await;
        reason
    }

    /// Runs an activation, as [`activate`](Self::activate) does, and returns what its answer means by itself.
    pub async fn run(&self, activation: &Activation, events: &EventSender) -> Answer {
        let answer = self.answer(activation, events);
        tokio::pin!(answer);
        let answer = loop {
            match timeout(LOOK, &mut answer).await {
                Ok(answer) => break answer,
                Err(_) if self.health.has_worked() => break answer.await,
                Err(_) => {}
            }
            // One asks for all.
            let Ok(_one) = self.unanswered.try_lock() else { continue };
            if let Some(why) = self.rules.why_none_comes().await {
                return Answer::Denied(why);
            }
        };
        match answer {
            Answer::Silent(ExitReason::Unanswered(_)) if !self.health.has_worked() => {
                let mut unanswered = self.unanswered.lock().await;
                *unanswered += 1;
                if *unanswered % UNANSWERED != 0 {
                    return answer;
                }
                self.rules.why_none_comes().await.map_or(answer, Answer::Denied)
            }
            answer => answer,
        }
    }

    async fn answer(&self, activation: &Activation, events: &EventSender) -> Answer {
        let starts_by = Instant::now() + activation.limits.start;
        let (mut refused, mut busy_until) = (false, None);
        loop {
            let headers = match self.rules.headers(refused).await {
                Ok(headers) => headers,
                Err(error) => return Answer::Denied(words_of(&error)),
            };
            let request = |http2| self.request(activation, &headers, http2);
            let Ok(sent) = timeout_at(starts_by, self.connections.send(request)).await else {
                return silent(&activation.limits);
            };
            let (answer, place) = match sent {
                Ok(sent) => sent,
                Err(words) => return Answer::Silent(ExitReason::Unanswered(words)),
            };
            if is_of_worker(&answer) {
                return take(answer, place, activation, starts_by, events).await;
            }
            let refusal = read_refusal(answer, place).await;
            // A token may have come to its end: with a new one the same request may be welcome.
            if refusal.status == StatusCode::UNAUTHORIZED && !refused {
                refused = true;
                continue;
            }
            if refusal.worker() == Some("busy")
                && Instant::now() < *busy_until.get_or_insert_with(|| Instant::now() + BUSY)
            {
                tokio::time::sleep(BUSY_PAUSE).await;
                continue;
            }
            let special = refusal.worker().is_none().then(|| self.rules.judge(&refusal)).flatten();
            return special.unwrap_or_else(|| refusal.meaning());
        }
    }

    fn request(&self, activation: &Activation, headers: &HeaderMap, http2: bool) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(activation.frames.clone()));
        *request.method_mut() = Method::POST;
        request.headers_mut().extend(headers.clone());
        let milliseconds =
            |time: Duration| HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, FRAMES);
        headers.insert(HEARTBEAT, milliseconds(activation.limits.heartbeat));
        if let Some(run) = activation.limits.run {
            headers.insert(DEADLINE, milliseconds(run));
        }
        let mut uri = hyper::http::uri::Parts::default();
        uri.path_and_query = Some(PATH);
        if http2 {
            uri.scheme = self.target.connect.scheme().cloned().or(Some(Scheme::HTTP));
            uri.authority = Some(self.target.authority.clone());
        } else if let Ok(host) = HeaderValue::from_str(self.target.authority.as_str()) {
            headers.insert(HOST, host);
        }
        // Scheme, authority and path are there together, or the path alone.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_else(|_| Uri::from_static("/v1/activation"));
        request
    }
}

fn is_of_worker(answer: &Response<Incoming>) -> bool {
    answer.status() == StatusCode::OK && answer.headers().get(CONTENT_TYPE) == Some(&FRAMES)
}

async fn read_refusal(answer: Response<Incoming>, place: Place) -> Refusal {
    let (parts, body) = answer.into_parts();
    let body = timeout(REFUSAL, Limited::new(body, LONGEST_REFUSAL).collect()).await;
    let text = match body {
        Ok(Ok(body)) => {
            place.done();
            body.to_bytes()
        }
        // The status alone says enough.
        _ => Bytes::new(),
    };
    Refusal::new(parts.status, parts.headers, &text)
}

/// Turns the answer of a worker into events, up to the frame that says how the activation ended.
async fn take(
    answer: Response<Incoming>,
    place: Place,
    activation: &Activation,
    starts_by: Instant,
    events: &EventSender,
) -> Answer {
    let limits = &activation.limits;
    let body = answer.into_body().into_data_stream().map_err(|error| io::Error::other(in_words(&error)));
    let mut pieces = StreamReader::new(body);
    let mut frames = FrameReader::with_block(&mut pieces, BLOCK);
    let Ok(hello) = timeout_at(starts_by, frames.next()).await else { return silent(limits) };
    let hello = match hello {
        Ok(Some(hello)) => hello,
        Ok(None) => {
            return Answer::Silent(ExitReason::Unanswered("the answer ended before it began".to_owned()));
        }
        Err(error) => return Answer::Silent(ExitReason::Unanswered(broke_off(&error))),
    };
    if let Err(error) = Hello::read(&hello) {
        return match error.kind() {
            ErrorKind::VersionMismatch => Answer::Denied(words_of(&error)),
            _ => Answer::Nonsense(format!("what answers is no worker: {error}")),
        };
    }
    events.send(Event { activation: activation.id, kind: EventKind::Started });
    loop {
        let next = timeout(limits.silence, frames.next()).await;
        let frame = match next {
            Err(_) => {
                let words = format!("the worker has said nothing for {:?}", limits.silence);
                return Answer::Said(ExitReason::Lost(words));
            }
            Ok(Ok(Some(frame))) => frame,
            // The platform may put a text of its own at the end of an answer that it cuts off: all that is no frame says
            // that the answer broke off.
            Ok(Err(error)) => return Answer::Said(ExitReason::Lost(broke_off(&error))),
            Ok(Ok(None)) => {
                return Answer::Said(ExitReason::Lost("the answer ended before the worker did".to_owned()));
            }
        };
        match event(&frame, activation) {
            Ok(None) => {}
            Ok(Some(Event { kind: EventKind::Exited(reason), .. })) => {
                drop(frames);
                finish(pieces, place).await;
                return Answer::Said(reason);
            }
            Ok(Some(event)) => events.send(event),
            Err(error) => {
                return Answer::Nonsense(format!("the worker answers what is not understood: {error}"));
            }
        }
    }
}

fn event(frame: &Frame, activation: &Activation) -> Result<Option<Event>> {
    match frame.kind {
        FrameKind::Heartbeat => Ok(None),
        _ => Event::from_frame(frame, activation.id).map(Some),
    }
}

/// Reads what is left of an answer, which is its end: only then its connection can be used again.
async fn finish<S: Stream<Item = io::Result<Bytes>> + Unpin>(pieces: StreamReader<S, Bytes>, place: Place)
where
    StreamReader<S, Bytes>: AsyncRead,
{
    let mut rest = pieces.into_inner();
    let is_over = timeout(REFUSAL, async {
        loop {
            match rest.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => break true,
                Err(_) => break false,
            }
        }
    });
    if is_over.await.unwrap_or(false) {
        place.done();
    }
}

fn silent(limits: &Limits) -> Answer {
    let words = format!("no worker has answered within {:?}", limits.start);
    Answer::Silent(ExitReason::Unanswered(words))
}

fn broke_off(error: &Error) -> String {
    format!("the answer broke off: {error}")
}

fn words_of(error: &Error) -> String {
    error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"))
}
