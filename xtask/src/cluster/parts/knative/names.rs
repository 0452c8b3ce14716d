//! In the place of a DNS and of kube-proxy: names of Services lead to this machine, where their ports lead to the activator.
//!
//! The autoscaler asks `http://REVISION.NAMESPACE.svc.cluster.local` before the last pod goes, and wants the activator's
//! answer: without that nothing is ever scaled to zero.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use crate::cluster::network::{ACTIVATOR_HTTP1, ACTIVATOR_HTTP2, SERVER, server};

/// The ports of the Services of revisions, and where they lead.
const PORTS: &[(u16, u16)] = &[(80, ACTIVATOR_HTTP1), (81, ACTIVATOR_HTTP2)];
const NAMES: u16 = 53;
/// A question and its answer have at most this many bytes.
const MESSAGE: usize = 512;
const HEADER: usize = 12;
/// The type of a question for an IPv4 address.
const ADDRESS: u16 = 1;

/// Serves until the cluster ends.
pub(crate) fn serve_names() -> Result<(), String> {
    let cannot = |what: SocketAddr| move |error: io::Error| format!("cannot listen at {what}: {error}");
    for (from, to) in PORTS {
        let (from, to) = (server(*from), server(*to));
        let listener = TcpListener::bind(from).map_err(cannot(from))?;
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                thread::spawn(move || pass_on(client, to));
            }
        });
    }
    let socket = UdpSocket::bind(server(NAMES)).map_err(cannot(server(NAMES)))?;
    let mut question = [0; MESSAGE];
    loop {
        let (length, client) = socket.recv_from(&mut question).map_err(|error| error.to_string())?;
        if let Some(answer) = answer(&question[..length], SERVER) {
            // One that is lost is asked for again.
            let _ = socket.send_to(&answer, client);
        }
    }
}

/// Passes bytes on in both directions until both have ended.
fn pass_on(client: TcpStream, to: SocketAddr) {
    let Ok(server) = TcpStream::connect(to) else { return };
    let copy = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        Ok::<_, io::Error>(thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        }))
    };
    for copying in [copy(&client, &server), copy(&server, &client)].into_iter().flatten() {
        let _ = copying.join();
    }
}

/// The answer to a question: the address for names below `svc.cluster.local`, and that there is no such name for others.
/// `None` for what is no question.
fn answer(question: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let (mut at, mut name) = (HEADER, Vec::new());
    while let length @ 1.. = usize::from(*question.get(at)?) {
        name.push(question.get(at + 1..at + 1 + length)?.to_ascii_lowercase());
        at += 1 + length;
    }
    let end = at + 5;
    let kind = u16::from_be_bytes(question.get(at + 1..at + 3)?.try_into().ok()?);
    let is_ours = name.ends_with(&[b"svc".to_vec(), b"cluster".to_vec(), b"local".to_vec()]);
    let is_answered = is_ours && kind == ADDRESS;
    // An answer with authority, and the code for a name that does not exist.
    let flags: u16 = 0x8580 | if is_ours { 0 } else { 3 };
    let mut answer = question.get(..2)?.to_vec();
    for number in [flags, 1, u16::from(is_answered), 0, 0] {
        answer.extend(number.to_be_bytes());
    }
    answer.extend_from_slice(question.get(HEADER..end)?);
    if is_answered {
        // The name stands at offset 12; type, class, seconds to live, length of the address.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut question = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for part in name.split('.') {
            question.push(u8::try_from(part.len()).expect("short"));
            question.extend(part.bytes());
        }
        question.push(0);
        question.extend(kind.to_be_bytes());
        question.extend([0, 1]);
        question
    }

    #[test]
    fn names_of_services_have_the_address_and_others_do_not_exist() {
        let address = Ipv4Addr::new(10, 1, 2, 3);
        let asked = question("app.default.svc.Cluster.local", 1);
        let said = answer(&asked, address).expect("an answer");
        assert_eq!((&said[..2], &said[6..8], said[3] & 15), (&[7, 9][..], &[0, 1][..], 0));
        assert!(said.ends_with(&address.octets()) && said[HEADER..].starts_with(&asked[HEADER..]));
        // It has no IPv6 address, but it exists.
        let said = answer(&question("app.default.svc.cluster.local", 28), address).expect("an answer");
        assert_eq!((said[3] & 15, &said[6..8]), (0, &[0, 0][..]));
        let said = answer(&question("example.com", 1), address).expect("an answer");
        assert_eq!((said[3] & 15, &said[6..8]), (3, &[0, 0][..]));
        assert_eq!(answer(&asked[..20], address), None);
    }
}
