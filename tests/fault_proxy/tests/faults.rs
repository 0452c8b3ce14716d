//! Each fault, as a client sees it that speaks HTTP by hand.

use std::net::SocketAddr;

use lithops_fault_proxy::{Fault, FaultProxy, Messages, Rule};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A server that answers every request with the request itself, as it came.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("it works");
    let address = listener.local_addr().expect("it works");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = vec![0; 4096];
                let mut len = 0;
                while !asked[..len].windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut asked[len..]).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => len += read,
                    }
                }
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(&[head.as_bytes(), &asked[..len]].concat()).await;
            });
        }
    });
    address
}

/// The bytes of the answer until the connection ends, and whether it ended without an error.
async fn ask(proxy: &FaultProxy, method: &str, path: &str) -> (String, bool) {
    let address = proxy.endpoint().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("it works");
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: signed:1\r\nX-Odd: a  b\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it works");
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer).await.is_ok();
    (String::from_utf8(answer).expect("it works"), ended)
}

#[tokio::test]
async fn what_meets_no_rule_passes_as_it_came() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    let (answer, ended) = ask(&proxy, "GET", "/a%2Fb//c?x=%20&y=+").await;
    assert!(ended && answer.starts_with("HTTP/1.1 200"), "{answer}");
    for kept in ["GET /a%2Fb//c?x=%20&y=+ HTTP/1.1", "ost: signed:1", ": a  b"] {
        assert!(answer.contains(kept), "{kept} in {answer}");
    }
    let counts = proxy.counts();
    assert_eq!((counts.total(), counts.answers[&200], counts.faults, counts.now), (1, 1, 0, 0));
    assert!(counts.bytes_down > 50, "{counts:?}");
}

#[tokio::test]
async fn each_fault_is_what_it_says() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    let try_one = async |fault| {
        proxy.clear();
        proxy.add(Rule::new(fault).times(1));
        let met = ask(&proxy, "GET", "/").await;
        let (after, _) = ask(&proxy, "GET", "/").await;
        assert!(after.starts_with("HTTP/1.1 200"), "once only: {after}");
        met
    };
    assert!(try_one(Fault::Status(503)).await.0.starts_with("HTTP/1.1 503"));
    assert!(try_one(Fault::StatusAfter(500)).await.0.starts_with("HTTP/1.1 500"));
    for fault in [Fault::Reset, Fault::ResetAfter] {
        let (answer, _) = try_one(fault).await;
        assert_eq!(answer, "", "{fault:?}");
    }
    let (answer, _) = try_one(Fault::Truncate(5)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("GET /"), "{answer}");
    let (answer, _) = try_one(Fault::Delay(std::time::Duration::from_millis(1))).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(proxy.counts().faults, 6);
}

#[tokio::test]
async fn rules_choose_requests() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    proxy.add(Rule::new(Fault::Status(500)).method("PUT").path_contains("x").every(2));
    let mut statuses = Vec::new();
    for (method, path) in [("GET", "/x"), ("PUT", "/y"), ("PUT", "/x"), ("PUT", "/x"), ("PUT", "/x")] {
        statuses.push(ask(&proxy, method, path).await.0[9..12].to_owned());
    }
    assert_eq!(statuses, ["200", "200", "500", "200", "500"]);
}

#[tokio::test]
async fn messages_that_may_not_be_are_counted_and_refused() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    proxy.look_at(Messages::json("/json", 1000));
    let (answer, _) = ask(&proxy, "GET", "/json?x").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "the echo is no JSON: {answer}");
    assert!(ask(&proxy, "GET", "/other").await.0.starts_with("HTTP/1.1 200"));
    let counts = proxy.counts();
    assert_eq!((counts.violations, counts.ending("/json"), counts.ending("r")), (1, 1, 1));
}
