//! URLs of servers with odd answers: a read returns the right content, or an error.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::io::AsyncReadExt as _;

use crate::{
    error::{Error, Result},
    partition::{resolve::resolve, *},
    storage::{MemoryStorage, StorageClient},
};

/// The answer of a server to its `n`th request, which asked for that range: the head without its lengths, and
/// the body.
type Answer = fn(usize, Option<Range<usize>>, &[u8]) -> (String, Vec<u8>);

/// A server on loopback: its URL, and how often it was asked.
fn serve(content: Vec<u8>, says: Answer) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("it works");
    let url = format!("http://{}/x", listener.local_addr().expect("it works"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let number = count.fetch_add(1, Ordering::Relaxed);
            // An error says that the client has closed the connection.
            drop(answer(&stream, number, &content, says));
        }
    });
    (url, asked)
}

fn answer(mut stream: &TcpStream, number: usize, content: &[u8], says: Answer) -> std::io::Result<()> {
    let mut range = None;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some((from, to)) = line.strip_prefix("range: bytes=").and_then(|asked| asked.split_once('-')) {
            range = Some(from.parse().expect("it works")..to.parse::<usize>().expect("it works") + 1);
        }
    }
    let (head, body) = says(number, range, content);
    stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes())?;
    stream.write_all(&body)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read(&mut [0]).map(drop)
}

fn partial(range: &Range<usize>, content: &[u8], total: &str, mark: usize) -> (String, Vec<u8>) {
    let range = range.start..range.end.min(content.len());
    let head = format!(
        "206 Partial Content\r\nContent-Range: bytes {}-{}/{total}\r\nETag: \"{mark}\"\r\nContent-Length: {}",
        range.start,
        range.end - 1,
        range.len()
    );
    (head, content[range].to_vec())
}

fn whole(content: &[u8]) -> (String, Vec<u8>) {
    (format!("200 OK\r\nContent-Length: {}", content.len()), content.to_vec())
}

async fn parts(url: &str, chunk: u64) -> Result<Vec<DataObject>> {
    let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "b");
    let around = ResolveContext { storage, workers_are_here: true, storage_is_shared: true };
    let options = ObjectOptions { chunk_size: Some(ByteSize::b(chunk)), ..ObjectOptions::default() };
    let prepared = resolve(vec![Wanted::Url(url.to_owned())], options, &around).await?;
    Ok(prepared.parts().map(|partition| DataObject::new(partition, None)).collect())
}

/// All parts, read at once and as streams.
async fn read(url: &str, chunk: u64) -> Result<Vec<u8>> {
    let (mut at_once, mut streamed) = (Vec::new(), Vec::new());
    for part in parts(url, chunk).await? {
        at_once.extend_from_slice(&part.bytes().await?);
        part.reader()
            .read_to_end(&mut streamed)
            .await
            .map_err(|error| error.downcast::<Error>().expect("it works"))?;
    }
    assert!(at_once == streamed, "the same at once and as a stream");
    Ok(at_once)
}

const TEXT: &[u8] = b"one\ntwo\nthree\nfour\nfive\n";

#[tokio::test]
async fn a_range_of_something_without_a_length_is_not_taken_for_all_of_it() {
    let (url, _) = serve(TEXT.to_vec(), |_, range, content| match range {
        Some(range) => partial(&range, content, "*", 1),
        None => ("200 OK".to_owned(), content.to_vec()),
    });
    assert_eq!(parts(&url, 7).await.unwrap().len(), 1);
    assert_eq!(read(&url, 7).await.unwrap(), TEXT);
}

#[tokio::test]
async fn another_range_than_the_one_asked_for_is_an_error() {
    let (url, _) = serve(TEXT.to_vec(), |_, range, content| {
        partial(&(0..range.unwrap().len()), content, &content.len().to_string(), 1)
    });
    let error = parts(&url, 7).await.unwrap()[1].bytes().await.unwrap_err().to_string();
    assert!(error.contains("the server gave another range"), "{error}");
}

#[tokio::test]
async fn what_changes_between_two_requests_is_an_error() {
    // First the mark changes from the second read of data on; then the length does.
    let marked: Answer =
        |number, range, content| partial(&range.unwrap(), content, &content.len().to_string(), number / 3);
    let longer: Answer = |number, range, content| {
        partial(&range.unwrap(), content, &(content.len() + number / 3).to_string(), 1)
    };
    for says in [marked, longer] {
        let (url, _) = serve(vec![b'x'; 30 << 20], says);
        let error = read(&url, 20 << 20).await.unwrap_err().to_string();
        assert!(error.contains("was changed after the job was started"), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_by_range_is_streamed_with_one_request() {
    let content: Vec<u8> = (0..20 << 20).map(|at| (at >> 12) as u8).collect();
    let (url, asked) = serve(content.clone(), |_, _, content| whole(content));
    let part = parts(&url, 7).await.unwrap().remove(0);
    let mut streamed = Vec::new();
    let before = asked.load(Ordering::Relaxed);
    part.reader().read_to_end(&mut streamed).await.unwrap();
    assert!(streamed == content);
    assert_eq!(asked.load(Ordering::Relaxed) - before, 1);
    // A stream that ends early, or has another length, is an error.
    let (url, _) = serve(TEXT.to_vec(), |number, _, content| match number {
        0 => whole(content),
        _ => whole(&content[..content.len() - 2]),
    });
    let part = parts(&url, 7).await.unwrap().remove(0);
    let error = part.reader().read_to_end(&mut Vec::new()).await.unwrap_err().to_string();
    assert!(error.contains("was changed after the job was started"), "{error}");
    let error = part.bytes().await.unwrap_err().to_string();
    assert!(error.contains("was changed after the job was started"), "{error}");
}

#[tokio::test]
async fn an_empty_url_is_one_empty_part() {
    let (url, _) = serve(Vec::new(), |_, range, content| match range {
        Some(_) => {
            ("416 Range Not Satisfiable\r\nContent-Range: bytes */0\r\nContent-Length: 0".into(), vec![])
        }
        None => whole(content),
    });
    assert_eq!(parts(&url, 7).await.unwrap().len(), 1);
    assert_eq!(read(&url, 7).await.unwrap(), b"");
}
