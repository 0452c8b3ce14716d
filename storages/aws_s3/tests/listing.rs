//! Listings with keys that no path can express, from a server with prepared answers.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use futures_util::TryStreamExt;
use lithops_core::{
    error::ErrorKind,
    storage::{Buckets, Credentials, Locator, ObjectMeta, Storage},
};
use lithops_storage_aws_s3::{MINIO, open};

/// A bucket as a server lists it: keys as they stand in XML, and sizes. Two on each page.
const OBJECTS: [(&str, u64); 10] = [
    ("/leading", 3),
    ("a&amp;b", 1),
    ("empty", 0),
    ("folder", 5),
    ("folder/", 0),
    ("folder/in it", 2),
    ("full/", 7),
    ("only a marker/", 0),
    ("x//y", 1),
    ("x/../y&#10;", 1),
];

fn page(query: &str) -> String {
    let value = |name: &str| {
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.map(|value| value.replace("%2F", "/").replace("%20", " "))
    };
    let prefix = value("prefix").unwrap_or_default();
    let from: usize = value("continuation-token").map_or(0, |token| token.parse().expect("a number"));
    let objects: Vec<_> = OBJECTS.iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
    let listed: String = objects
        .iter()
        .skip(from)
        .take(2)
        .map(|(key, size)| {
            format!(
                "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;1&quot;</ETag>\
                 <LastModified>2026-11-28T00:00:00.000Z</LastModified></Contents>"
            )
        })
        .collect();
    let next = match from + 2 < objects.len() {
        true => format!("<NextContinuationToken>{}</NextContinuationToken>", from + 2),
        false => String::new(),
    };
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Prefix>{prefix}</Prefix>{listed}{next}</ListBucketResult>"
    )
}

fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let query = first.split_once('?').and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
    let (status, body) = match query.contains("list-type=2") {
        true => ("200 OK", page(query)),
        false => ("404 Not Found", String::new()),
    };
    let len = body.len();
    write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}")
}

/// A bucket on loopback.
fn bucket() -> Buckets {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for connection in listener.incoming() {
            // A client may close the connection at any time.
            let _ = connection.and_then(answer);
        }
    });
    let locator = Locator::new(MINIO, "bucket").with_region("us-east-1");
    let locator = locator.with_endpoint(format!("http://{address}")).expect("an endpoint");
    let credentials =
        Credentials::default().with("access_key_id", Some("id")).with("secret_access_key", Some("secret"));
    open(&locator, &credentials).expect("a storage")
}

async fn keys(storage: &Buckets, prefix: &str) -> Vec<(String, u64)> {
    let listed: Vec<ObjectMeta> = storage.list("bucket", prefix).try_collect().await.expect("lists");
    listed.into_iter().map(|object| (object.key, object.size)).collect()
}

#[tokio::test]
async fn folder_markers_are_left_out_and_every_other_key_is_as_it_is() {
    let storage = bucket();
    let expected = [
        ("/leading", 3),
        ("a&b", 1),
        ("empty", 0),
        ("folder", 5),
        ("folder/in it", 2),
        ("full/", 7),
        ("x/../y\n", 1),
        ("x//y", 1),
    ];
    let mut expected: Vec<_> = expected.map(|(key, size)| (key.to_owned(), size)).into();
    expected.sort_unstable();
    assert_eq!(keys(&storage, "").await, expected);
    for prefix in ["/", "folder", "folder/", "full", "full/", "only", "only a marker/", "x/", "x//", "none"] {
        let mut with_it = expected.clone();
        with_it.retain(|(key, _)| key.starts_with(prefix));
        assert_eq!(keys(&storage, prefix).await, with_it, "{prefix}");
    }
}

#[tokio::test]
async fn what_is_listed_and_cannot_be_named_is_refused_with_its_name() {
    let storage = bucket();
    for (key, _) in keys(&storage, "").await {
        let error = storage.get("bucket", &key).await.expect_err("nothing is there");
        let named = key.starts_with('/') || key.ends_with('/') || key.starts_with("x/");
        let kind = if named { ErrorKind::InvalidInput } else { ErrorKind::NotFound };
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(&*key.escape_debug().to_string()), "{error}");
    }
}
