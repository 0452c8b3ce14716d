//! What registries may answer: failures that pass, token servers, uploads to another host.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod scripted;

use std::sync::Arc;

use async_trait::async_trait;
use lithops_core::error::{ErrorKind, Result};
use lithops_image::{ImageBuilder, Login, LoginSource, Logins, Reference, Repository};
use scripted::{Answer, Asked, Server};

const TOKEN: &str = r#"{"token": "t0k3n"}"#;

fn status(status: u16) -> Answer {
    (status, Vec::new(), Vec::new())
}

async fn open(server: &Server, logins: &Logins) -> Repository {
    let reference: Reference = format!("{}/team/app", server.address).parse().unwrap();
    Repository::open(&reference, logins).await.unwrap()
}

/// Answers as a registry that wants tokens of the server at `/token`.
fn with_tokens(asked: &Asked, own: &str, inner: impl FnOnce(&Asked) -> Answer) -> Answer {
    if asked.line.contains(" /token") {
        return (200, Vec::new(), TOKEN.into());
    }
    if asked.authorization.as_deref() != Some("Bearer t0k3n") {
        let challenge =
            format!(r#"Bearer realm="http://{own}/token",service="r.test",scope="repository:team/app:pull""#);
        return (401, vec![("WWW-Authenticate", challenge)], Vec::new());
    }
    inner(asked)
}

#[tokio::test]
async fn failures_that_pass_are_waited_for() {
    let mut left = vec![503, 429, 500];
    let server = Server::start(move |asked, _| match left.pop() {
        Some(failure) => status(failure),
        None if asked.line.starts_with("GET /v2/team/app/tags/list") => {
            (200, vec![], br#"{"tags": ["1"]}"#.to_vec())
        }
        None => status(404),
    });
    let repository = open(&server, &Logins::none()).await;
    assert_eq!(repository.tags().await.unwrap(), ["1"]);
    assert_eq!(repository.requests(), 4);
}

#[tokio::test]
async fn what_fails_for_good_is_asked_once() {
    let body = br#"{"errors": [{"code": "DENIED", "message": "not yours"}]}"#;
    let server = Server::start(|_, _| (403, vec![], body.to_vec()));
    let error = open(&server, &Logins::none()).await.tags().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let shown = format!("cannot list the tags of `{}/team/app`: the registry answered 403", server.address);
    assert!(
        error.to_string().starts_with(&shown) && error.to_string().contains("not yours (DENIED)"),
        "{error}"
    );
    assert_eq!(server.asked().len(), 1);
}

#[derive(Debug)]
struct Cloud(String);

#[async_trait]
impl LoginSource for Cloud {
    async fn login(&self, registry: &str) -> Result<Option<Login>> {
        Ok((registry == self.0).then(|| Login::password("oauth2accesstoken", "hunter2")))
    }
}

#[tokio::test]
async fn a_token_is_asked_for_once_with_the_login_of_a_cloud() {
    let server =
        Server::start(|asked, own| with_tokens(asked, own, |_| (200, vec![], br#"{"tags": []}"#.to_vec())));
    let none = Arc::new(Cloud("other.test".to_owned()));
    let cloud = Arc::new(Cloud(server.address.clone()));
    let repository = open(&server, &Logins::none().with_source(none).with_source(cloud)).await;
    repository.tags().await.unwrap();
    repository.tags().await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert_eq!(asked[0].authorization, None);
    assert_eq!(asked[1].line, "GET /token?service=r.test&scope=repository%3Ateam%2Fapp%3Apull");
    assert_eq!(asked[1].authorization.as_deref(), Some("Basic b2F1dGgyYWNjZXNzdG9rZW46aHVudGVyMg=="));
}

#[tokio::test]
async fn a_token_of_docker_is_exchanged() {
    let server =
        Server::start(|asked, own| with_tokens(asked, own, |_| (200, vec![], br#"{"tags": []}"#.to_vec())));
    let logins = Logins::none().with(&server.address, Login::identity("id/1"));
    open(&server, &logins).await.tags().await.unwrap();
    let exchange = &server.asked()[1];
    assert_eq!((exchange.line.as_str(), &exchange.authorization), ("POST /token", &None));
    let form = String::from_utf8_lossy(&exchange.body);
    assert!(
        form.starts_with("grant_type=refresh_token&client_id=lithops&refresh_token=id%2F1&service=r%2Etest"),
        "{form}"
    );
}

#[tokio::test]
async fn an_upload_to_another_host_is_without_the_login() {
    let bucket = Server::start(|_, _| status(201));
    let elsewhere = format!("http://{}/upload?signature=s", bucket.address);
    let server = Server::start(move |asked, own| {
        with_tokens(asked, own, |asked| match asked.line.split(' ').next() {
            Some("HEAD") => status(404),
            Some("POST") => (202, vec![("Location", elsewhere.clone())], Vec::new()),
            _ => status(201),
        })
    });
    let logins = Logins::none().with(&server.address, Login::password("ann", "hunter2"));
    let image = ImageBuilder::new(std::env::current_exe().unwrap()).build().await.unwrap();
    let pushed = open(&server, &logins).await.push(&image, None).await.unwrap();
    assert_eq!((pushed.uploads, pushed.writes), (2, 5));
    assert_eq!(pushed.reference.tag(), Some(image.tag().as_str()));
    let puts = bucket.asked();
    assert_eq!(puts.len(), 2);
    for put in puts {
        assert!(put.line.starts_with("PUT /upload?signature=s&digest=sha256%3A"), "{put:?}");
        assert_eq!(put.authorization, None);
    }
    let scope = "scope=repository%3Ateam%2Fapp%3Apull%2Cpush";
    assert!(
        server.asked()[1].line.ends_with(scope),
        "a push asks for a token to write: {:?}",
        server.asked()[1]
    );
}

#[tokio::test]
async fn an_address_where_nothing_runs_is_named() {
    // A port that systems keep free.
    let address = "127.0.0.1:1";
    let reference: Reference = format!("{address}/app").parse().unwrap();
    let error = Repository::open(&reference, &Logins::none()).await.unwrap().tags().await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot list the tags of `{address}/app`: ")), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("does it run")), "{error}");
}
