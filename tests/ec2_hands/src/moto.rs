//! [`Moto`]: requests to the real moto.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::form::Form;

/// The type of a form.
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// moto reads the service and the region from the signature, and does not verify it.
const SIGNATURE: &str =
    "AWS4-HMAC-SHA256 Credential=hands/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0";

/// The real moto.
#[derive(Debug, Clone)]
pub(crate) struct Moto {
    address: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A status and a body.
pub(crate) type Answer = (u16, String);

impl Moto {
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// A request to EC2 of our own.
    pub(crate) async fn ec2(&self, form: &Form) -> Answer {
        let headers = [("content-type", FORM), ("authorization", SIGNATURE)];
        self.send(&headers.map(|(name, value)| (name.to_owned(), value.to_owned())), form.encode()).await
    }

    /// A request with another body, on behalf of a client.
    pub(crate) async fn send(&self, headers: &[(String, String)], body: String) -> Answer {
        let mut request = Request::post(format!("http://{}/", self.address));
        let of_the_connection = ["host", "content-length", "connection", "transfer-encoding"];
        for (name, value) in headers.iter().filter(|(name, _)| !of_the_connection.contains(&name.as_str())) {
            request = request.header(name, value);
        }
        let sent = async {
            let request = request.body(Full::from(body)).map_err(|error| error.to_string())?;
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let body: Incoming = response.into_body();
            let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok::<_, String>((status, String::from_utf8_lossy(&body).into_owned()))
        };
        sent.await.unwrap_or_else(|error| (502, format!("moto does not answer: {error}")))
    }
}
