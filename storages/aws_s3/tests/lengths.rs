//! Answers that are shorter than what was asked for, as a bad cache or proxy makes them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use futures_util::TryStreamExt;
use lithops_core::{
    error::ErrorKind,
    storage::{Credentials, Locator, StorageClient},
};
use lithops_storage_aws_s3::open;

/// What the server holds.
const CONTENT: &[u8] = b"the quick brown fox jumps over the lazy dog";

/// A server of one object. It cuts the bodies of the first answers, and says so in `Content-Length` alone.
struct Server {
    address: String,
    cut: Arc<AtomicUsize>,
    answers: Arc<AtomicUsize>,
}

impl Server {
    fn start(content: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (cut, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let server = Self { address, cut: Arc::clone(&cut), answers: Arc::clone(&answers) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (cut, answers) = (Arc::clone(&cut), Arc::clone(&answers));
                thread::spawn(move || while answer(&stream, content, &cut, &answers).is_some() {});
            }
        });
        server
    }

    fn client(&self) -> StorageClient {
        let locator = Locator::new("minio", "bucket").with_region("us-east-1");
        let locator = locator.with_endpoint(&self.address).expect("an address");
        let credentials = Credentials::default()
            .with("access_key_id", Some("id"))
            .with("secret_access_key", Some("secret"));
        let storage = open(&locator, &credentials).expect("a storage");
        StorageClient::new(Arc::new(storage), "bucket")
    }
}

/// Answers a request; `None` when there are no more.
fn answer(mut stream: &TcpStream, content: &[u8], cut: &AtomicUsize, answers: &AtomicUsize) -> Option<()> {
    let mut lines = BufReader::new(stream.take(1 << 16)).lines();
    let method = lines.next()?.ok()?.split(' ').next()?.to_owned();
    let mut range = None;
    loop {
        let line = lines.next()?.ok()?.to_lowercase();
        if line.is_empty() {
            break;
        }
        range = line.strip_prefix("range: bytes=").map(str::to_owned).or(range);
    }
    let (start, end) = match range.as_deref().and_then(|range| range.split_once('-')) {
        Some((start, end)) => (
            start.parse().ok()?,
            end.parse::<usize>().map_or(content.len(), |last| (last + 1).min(content.len())),
        ),
        None => (0, content.len()),
    };
    let last_modified = "Last-Modified: Sat, 28 Nov 2026 20:00:00 GMT\r\nETag: \"1\"\r\n";
    let mut head = if start >= end && range.is_some() {
        let size = content.len();
        format!(
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\n"
        )
    } else if range.is_some() {
        format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\n",
            end - 1,
            content.len()
        )
    } else {
        "HTTP/1.1 200 OK\r\n".to_owned()
    };
    let mut body = content.get(start..end).unwrap_or_default();
    if method == "HEAD" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        body = &[];
    } else if !head.contains("416") {
        answers.fetch_add(1, Ordering::SeqCst);
        let cuts = cut.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        body = if cuts.is_ok() { &body[..body.len() / 2] } else { body };
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{head}{last_modified}\r\n").as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    stream.flush().ok()
}

#[tokio::test]
async fn an_answer_that_is_too_short_is_asked_for_again() {
    let server = Server::start(CONTENT);
    let client = server.client();
    let storage = client.storage();
    server.cut.store(1, Ordering::SeqCst);
    assert_eq!(*storage.get_range("bucket", "fox", 4..19).await.expect("read"), CONTENT[4..19]);
    server.cut.store(2, Ordering::SeqCst);
    assert_eq!(*storage.get("bucket", "fox").await.expect("read"), *CONTENT);
    server.cut.store(1, Ordering::SeqCst);
    assert_eq!(*storage.get_within("bucket", "fox", 100).await.expect("read"), *CONTENT);
    server.cut.store(1, Ordering::SeqCst);
    let (meta, pieces) = client.get_stream("bucket", "fox").await.expect("a stream");
    let pieces: Vec<_> = pieces.map_ok(|piece| piece.to_vec()).try_collect().await.expect("read");
    assert_eq!((meta.size, pieces.concat()), (CONTENT.len() as u64, CONTENT.to_vec()));
    assert_eq!(server.answers.load(Ordering::SeqCst), 4 + 5, "those that were cut, and those that were not");
}

#[tokio::test]
async fn what_is_longer_than_it_may_be_is_not_read_and_what_is_empty_is() {
    let server = Server::start(CONTENT);
    let client = server.client();
    let error = client.storage().get_within("bucket", "fox", 10).await.expect_err("it is longer");
    assert_eq!(error.kind(), ErrorKind::PayloadTooLarge);
    assert!(error.to_string().contains("`fox`"), "{error}");
    let empty = Server::start(b"");
    let client = empty.client();
    assert!(client.storage().get("bucket", "fox").await.expect("read").is_empty());
    assert!(client.storage().get_within("bucket", "fox", 10).await.expect("read").is_empty());
}
