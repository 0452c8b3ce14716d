//! Data sources that are URLs, from a server on loopback.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use lithops::{ErrorKind, prelude::*};

lithops::test_worker!();

#[lithops::function]
async fn part(obj: DataObject) -> Result<(usize, usize, String), lithops::Error> {
    assert!(obj.url().is_some() && obj.bucket().is_empty());
    let text = String::from_utf8_lossy(&obj.bytes().await?).into_owned();
    Ok((obj.part(), obj.total_parts(), text))
}

/// What the server does: paths that start with `/ranges` answer ranges, `/whole` never does, `/chunked` says no length.
/// The ranges that were asked for are kept.
fn serve(content: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("it works");
    let address = format!("http://{}", listener.local_addr().expect("it works"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || drop(answer(stream, content, &kept)));
        }
    });
    (address, asked)
}

fn answer(stream: TcpStream, content: &str, kept: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut range = None;
    for line in lines.by_ref() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(asked) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = asked
                .split_once('-')
                .and_then(|(from, to)| Some((from.parse().ok()?, to.parse::<usize>().ok()?)));
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    kept.lock().expect("it works").push(format!("{path} {range:?}"));
    let total = content.len();
    let (status, headers, body) = match (path.split('?').next().unwrap_or_default(), range) {
        ("/ranges", Some((from, to))) if from < total => {
            let to = (to + 1).min(total);
            let headers = format!("Content-Range: bytes {from}-{}/{total}\r\nETag: \"1\"\r\n", to - 1);
            ("206 Partial Content", headers, &content[from..to])
        }
        ("/whole" | "/ranges", _) => ("200 OK", String::new(), content),
        ("/chunked", _) => {
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
            (&stream).write_all(format!("{head}{content}").as_bytes())?;
            return Ok(());
        }
        _ => ("404 Not Found", String::new(), "none"),
    };
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    (&stream).write_all(format!("{head}{body}").as_bytes())?;
    // The client reads to the end before it goes.
    drop((&stream).read(&mut [0]));
    Ok(())
}

#[tokio::test]
async fn urls_are_read_by_range_where_the_server_can() {
    let (address, asked) = serve("one\ntwo\nthree\nfour\n");
    let fexec = FunctionExecutor::builder().build().await.unwrap();
    let map = async |path: &str| {
        let source = DataSource::url(format!("{address}{path}"));
        fexec.map(part, source).obj_chunk_size(ByteSize::b(7)).await.unwrap().get_result().await.unwrap()
    };
    let parts = map("/ranges?signature=x").await;
    let texts: Vec<_> = parts.iter().map(|part| part.2.as_str()).collect();
    assert_eq!(texts, ["one\ntwo\n", "three\n", "four\n"]);
    assert!(asked.lock().unwrap().iter().all(|asked| asked.starts_with("/ranges?signature=x Some")));
    // Who answers no ranges is read whole, in one part: nothing is lost and nothing is wrong.
    for path in ["/whole", "/chunked"] {
        assert_eq!(map(path).await, [(0, 1, "one\ntwo\nthree\nfour\n".to_owned())], "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_url_is_said() {
    let (address, _) = serve("x");
    let fexec = FunctionExecutor::builder().build().await.unwrap();
    let error =
        fexec.map(part, DataSource::url(format!("{address}/none?signature=secret"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("/none`, the server answered 404") && !shown.contains("secret"), "{shown}");
    let error = fexec.map(part, DataSource::url("http://127.0.0.1:1/x")).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot read `http://127.0.0.1:1/x`"), "{error}");
    let error = fexec.map(part, DataSource::url("no url")).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot read `no url`"), "{error}");
}
