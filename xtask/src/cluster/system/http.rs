//! Requests to servers of the cluster, by a thread that is in its network.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a request is answered with success. The calling thread is in the cluster's network.
pub(in crate::cluster) fn request(server: SocketAddr, method: &str, path: &str, body: &str) -> bool {
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nUser-Agent: kube-probe/1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let exchange = || {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(text.as_bytes())?;
        let mut start = [0; 10];
        stream.read_exact(&mut start)?;
        std::io::Result::Ok(start.starts_with(b"HTTP/1.1 2"))
    };
    exchange().unwrap_or(false)
}
