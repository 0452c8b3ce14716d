//! The same over TLS: which protocol is spoken is agreed upon, and who is not trusted is not spoken to.

use std::{path::Path, process::Command, sync::Arc};

use hyper::{Uri, Version};
use lithops_activations::{ServiceClient, Target};
use lithops_core::compute::{Answer, ExitReason};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use super::server::Server;
use crate::{Rules, ask, patient, whole};

/// With this variable, an address, the test `client` makes a request there.
const ADDRESS: &str = "LITHOPS_TEST_TLS";

/// An authority that signs certificates, and its own.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A server that offers these protocols, with a certificate for a name.
fn acceptor(authority: &CertifiedIssuer<'static, KeyPair>, name: &str, protocols: &[&str]) -> TlsAcceptor {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(vec![certificate.der().clone()], key).expect("they fit");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// What a client says that trusts only the certificates of a file: they are chosen by a variable of its process.
async fn asked_by_another(address: String, trusted: &Path) -> String {
    let mut client = Command::new(std::env::current_exe().expect("this test"));
    client.args(["--exact", "service::tls::client", "--nocapture"]);
    client.env(ADDRESS, address).env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
    let ran = tokio::task::spawn_blocking(move || client.output()).await.expect("no panic").expect("it runs");
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// Run by [`asked_by_another`]; alone it does nothing.
#[tokio::test]
async fn client() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let connect: Uri = format!("https://{address}").parse().expect("an address");
    let authority = connect.authority().expect("a host").clone();
    // Over TLS the two sides agree on a version, independent of this setting.
    let target = Target { connect, authority, http2: false };
    let client = ServiceClient::new(target, Arc::new(Rules::default())).expect("a client");
    let (answer, started, reports) = ask(&Arc::new(client), patient()).await;
    match answer {
        Answer::Said(ExitReason::Finished) => println!("finished: {started}, {reports} reports"),
        other => println!("not finished: {other:?}"),
    }
}

#[tokio::test]
async fn the_two_sides_agree_on_the_protocol() {
    let (trusted, folder) = (authority("trusted"), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, trusted.pem()).expect("a file");
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"][..], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let server = Server::start_tls([whole()], acceptor(&trusted, "127.0.0.1", protocols)).await;
        let said = asked_by_another(server.address().to_owned(), &file).await;
        assert!(said.contains("finished: true, 1 reports"), "{protocols:?}: {said}");
        assert_eq!(server.came()[0].version, version, "{protocols:?}");
    }
}

#[tokio::test]
async fn who_is_not_trusted_or_has_another_name_is_asked_nothing() {
    let (trusted, folder) = (authority("trusted"), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, trusted.pem()).expect("a file");
    for (signed_by, name, words) in [
        (&authority("other"), "127.0.0.1", "UnknownIssuer"),
        (&trusted, "service.example.com", "not valid for name"),
    ] {
        let server = Server::start_tls([whole()], acceptor(signed_by, name, &["h2"])).await;
        let said = asked_by_another(server.address().to_owned(), &file).await;
        assert!(said.contains("not finished: Silent(Unanswered(") && said.contains(words), "{said}");
        assert!(server.came().is_empty());
    }
}
