//! How a worker that is connected to makes sure that it is its own client that connects: it asks for the signature of
//! random bytes, which only the key of its fleet can give. Nothing that the worker was started with is secret.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{SignKey, VerifyKey};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
};

/// The first bytes of a challenge: they tell a worker from any other program that may listen there.
const MAGIC: &[u8; 8] = b"LITHOPS?";
/// The random bytes of a challenge.
const NONCE: usize = 32;
/// The signature, and the bytes that it is of.
const ANSWER: usize = 64 + NONCE;
/// What the worker says to an answer that is right.
const WELCOME: u8 = b'+';

/// Asks who has connected, and returns once it has shown to have the key that `verify` is of.
///
/// # Errors
/// `PermissionDenied` when it has another key or none, and an error of the connection.
pub async fn challenge<S>(stream: &mut S, fleet: &str, worker: &str, verify: &VerifyKey) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut asked = [0; MAGIC.len() + NONCE];
    asked[..MAGIC.len()].copy_from_slice(MAGIC);
    getrandom::fill(&mut asked[MAGIC.len()..]).map_err(|error| {
        Error::new(ErrorKind::Io, format!("the operating system gives no random numbers: {error}"))
    })?;
    stream.write_all(&asked).await?;
    stream.flush().await?;
    let mut answer = vec![0; ANSWER];
    stream.read_exact(&mut answer).await?;
    let signed = verify.open(&name(fleet, worker), &Bytes::from(answer))?;
    if *signed != asked[MAGIC.len()..] {
        return Err(Error::new(ErrorKind::PermissionDenied, "what was signed is an older challenge"));
    }
    stream.write_all(&[WELCOME]).await?;
    stream.flush().await?;
    Ok(())
}

/// Answers the challenge of a worker of this client's fleet.
///
/// # Errors
/// When no worker is there, it does not take this client for its own, or the connection breaks.
pub async fn answer_challenge<S>(stream: &mut S, fleet: &str, worker: &str, key: &SignKey) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut asked = [0; MAGIC.len() + NONCE];
    stream.read_exact(&mut asked).await?;
    let (magic, nonce) = asked.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(Error::new(ErrorKind::Unexpected, "what listens there is no worker of lithops"));
    }
    stream.write_all(&key.sign(&name(fleet, worker), nonce)).await?;
    stream.flush().await?;
    let mut said = [0];
    let read = stream.read_exact(&mut said).await;
    match read {
        Ok(_) if said[0] == WELCOME => Ok(()),
        Ok(_) => {
            Err(Error::new(ErrorKind::Unexpected, "the worker has answered something else than a welcome"))
        }
        Err(error) => Err(Error::new(
            ErrorKind::PermissionDenied,
            format!("the worker does not take this client for its own: {error}"),
        )),
    }
}

/// What a signature is valid for: one worker of one fleet.
fn name(fleet: &str, worker: &str) -> String {
    format!("serve/{fleet}/{worker}")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn meet(client: &SignKey, own: (&str, &str), other: (&str, &str)) -> (Result<()>, Result<()>) {
        let verify = SignKey::generate().unwrap();
        let verify = if own == other { client.verify_key() } else { verify.verify_key() };
        let (mut here, mut there) = tokio::io::duplex(1024);
        let asks = async {
            let asked = challenge(&mut there, own.0, own.1, &verify).await;
            drop(there);
            asked
        };
        tokio::join!(answer_challenge(&mut here, other.0, other.1, client), asks)
    }

    #[tokio::test]
    async fn only_the_client_with_the_fleets_key_is_let_in_and_to_its_worker_only() {
        let key = SignKey::generate().unwrap();
        let (answered, asked) = meet(&key, ("f", "w"), ("f", "w")).await;
        answered.unwrap();
        asked.unwrap();
        let (answered, asked) = meet(&key, ("f", "w"), ("f", "v")).await;
        assert_eq!(answered.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(asked.unwrap_err().kind(), ErrorKind::PermissionDenied);
        let verify = key.verify_key();
        let (mut here, mut there) = tokio::io::duplex(1024);
        let (answered, asked) = tokio::join!(
            async {
                let answered = answer_challenge(&mut here, "f", "another", &key).await;
                answered.map(|()| "let in")
            },
            async {
                let asked = challenge(&mut there, "f", "w", &verify).await;
                drop(there);
                asked
            }
        );
        assert!(answered.is_err() && asked.is_err(), "the signature is for another worker");
    }

    #[tokio::test]
    async fn what_is_no_worker_is_told_so() {
        let key = SignKey::generate().unwrap();
        let (mut here, mut there) = tokio::io::duplex(1024);
        there.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
        let error = answer_challenge(&mut here, "f", "w", &key).await.unwrap_err();
        assert!(error.to_string().contains("no worker of lithops"), "{error}");
    }
}
