//! [`Service`]: one service of AWS in one region.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, Limited};
use hyper::Request;
use lithops_core::error::Result;
use serde::de::DeserializeOwned;

use super::{Form, ServiceError, signing};
use crate::{Access, CredentialsSource, http};

/// How long the service may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How often a request is made, where a failure may pass.
const TRIES: u32 = 3;
/// The pause before the second try; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// An answer that is longer is none of AWS.
const LONGEST: usize = 64 << 20;

/// One service of AWS in one region, over connections that stay open.
#[derive(Debug, Clone)]
pub struct Service {
    name: &'static str,
    version: &'static str,
    region: String,
    host: String,
    url: String,
    credentials: Arc<CredentialsSource>,
    connections: http::Connections,
}

impl Service {
    /// The service of this name, whose API has this version, in a region. Nothing is asked yet.
    ///
    /// # Errors
    /// The machine has no root certificates.
    pub fn new(name: &'static str, version: &'static str, region: &str, access: &Access) -> Result<Self> {
        let url = match &access.endpoint {
            Some(endpoint) => format!("{}/", endpoint.trim_end_matches('/')),
            None => format!("https://{name}.{region}.{}/", domain(region)),
        };
        let host =
            url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).trim_end_matches('/').to_owned();
        Ok(Self {
            name,
            version,
            region: region.to_owned(),
            host,
            url,
            credentials: Arc::new(CredentialsSource::new(access.keys.as_ref(), Some(region))),
            connections: http::connections()?,
        })
    }

    /// The region that is asked.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Does an action, whose answer is XML. A request whose failure may pass is made again, some times: it must mean the
    /// same the second time.
    ///
    /// # Errors
    /// The service refuses, or does not answer.
    pub async fn call<T: DeserializeOwned>(&self, action: &str, form: &Form) -> Result<T, ServiceError> {
        let mut whole = Form::new().with("Action", action).with("Version", self.version);
        form.iter().for_each(|(name, value)| whole.set(name, value));
        let kind = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let answer = self.insist(&kind, whole.encode()).await?;
        quick_xml::de::from_str(&answer).map_err(|error| unreadable(action, &error.to_string()))
    }

    /// Does an action of a service that speaks JSON, such as that of parameters.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_json<T: DeserializeOwned>(
        &self,
        target: &str,
        body: &serde_json::Value,
    ) -> Result<T, ServiceError> {
        let kind = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let answer = self.insist(&kind, body.to_string()).await?;
        serde_json::from_str(&answer).map_err(|error| unreadable(target, &error.to_string()))
    }

    async fn insist(&self, headers: &[(&str, &str)], body: String) -> Result<String, ServiceError> {
        let mut tries = 1;
        loop {
            let sent = tokio::time::timeout(ANSWER, self.send(headers, &body)).await;
            let late = |_| ServiceError::unanswered(format!("{} does not answer for {ANSWER:?}", self.host));
            match sent.map_err(late).and_then(|sent| sent) {
                Err(error) if error.may_pass() && tries < TRIES => {
                    tracing::debug!(service = self.name, error = error.words(), "asked again");
                    tokio::time::sleep(PAUSE * 2_u32.pow(tries - 1)).await;
                    tries += 1;
                }
                sent => return sent,
            }
        }
    }

    async fn send(&self, headers: &[(&str, &str)], body: &str) -> Result<String, ServiceError> {
        let credentials = self.credentials.credentials().await;
        let credentials = credentials.map_err(|error| ServiceError::unsigned(crate::error::chain(&error)))?;
        let target =
            signing::Target { url: &self.url, host: &self.host, region: &self.region, service: self.name };
        let signed = signing::headers(credentials, &target, headers, body.as_bytes(), SystemTime::now());
        let mut request = Request::post(&self.url);
        for (name, value) in signed.map_err(ServiceError::unsigned)? {
            request = request.header(name, value);
        }
        let request = request.body(SdkBody::from(body));
        let request = request.map_err(|error| ServiceError::unsigned(error.to_string()))?;
        let unanswered = |error: &(dyn std::error::Error + 'static)| {
            ServiceError::unanswered(format!("{}: {}", self.host, crate::error::chain(error)))
        };
        let response = self.connections.request(request).await.map_err(|error| unanswered(&error))?;
        let status = response.status().as_u16();
        let read = Limited::new(response.into_body(), LONGEST).collect().await;
        let read = read.map_err(|error| unanswered(&*error))?.to_bytes();
        let text = String::from_utf8_lossy(&read).into_owned();
        if (200..300).contains(&status) { Ok(text) } else { Err(ServiceError::read(status, &text)) }
    }
}

/// The domain of the services of a region.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

fn unreadable(action: &str, problem: &str) -> ServiceError {
    ServiceError::unanswered(format!("the answer to {action} cannot be read: {problem}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::Keys;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        request_id: String,
    }

    /// A service that answers each connection with the next of these answers; gives the requests.
    async fn ask(answers: &[&str]) -> (Result<Answer, ServiceError>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let keys = Keys { id: "AKID".into(), secret: "hunter2".into(), token: None };
        let access = Access { region: None, endpoint: Some(endpoint), keys: Some(keys) };
        let service = Service::new("ec2", "2016-11-15", "eu-west-1", &access).expect("a service");
        let form = Form::new().with("DryRun", "true");
        let serve = async {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut bytes = vec![0; 8192];
                let mut read = 0;
                while !String::from_utf8_lossy(&bytes[..read]).contains("DryRun=true") {
                    read += stream.read(&mut bytes[read..]).await.expect("a request");
                }
                requests.push(String::from_utf8_lossy(&bytes[..read]).into_owned());
                let head = "Connection: close\r\nContent-Length";
                let (status, body) = answer.split_once(' ').expect("status and body");
                let whole = format!("HTTP/1.1 {status} X\r\n{head}: {}\r\n\r\n{body}", body.len());
                stream.write_all(whole.as_bytes()).await.expect("written");
            }
            requests
        };
        tokio::join!(service.call("DescribeX", &form), serve)
    }

    #[tokio::test]
    async fn a_request_is_a_signed_form_and_made_again_where_that_may_help() {
        let (answer, requests) = ask(&[
            "503 busy",
            "200 <DescribeXResponse xmlns=\"x\"><requestId>r</requestId></DescribeXResponse>",
        ])
        .await;
        assert_eq!(answer.expect("the second answer").request_id, "r");
        assert_eq!(requests.len(), 2);
        for request in requests {
            assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
            assert!(
                request.ends_with("\r\n\r\nAction=DescribeX&Version=2016-11-15&DryRun=true"),
                "{request}"
            );
            assert!(request.contains("authorization: AWS4-HMAC-SHA256 Credential=AKID/"), "{request}");
            assert!(!request.contains("hunter2"), "{request}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_not_asked_again() {
        let refusal = "403 <Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>";
        let (answer, requests) = ask(&[refusal]).await;
        assert_eq!(answer.expect_err("refused").code, "UnauthorizedOperation");
        assert_eq!(requests.len(), 1);
    }

    #[test]
    fn services_of_china_have_another_domain() {
        let service = Service::new("ec2", "1", "cn-north-1", &Access::default()).expect("a service");
        assert_eq!(service.url, "https://ec2.cn-north-1.amazonaws.com.cn/");
        assert_eq!(service.host, "ec2.cn-north-1.amazonaws.com.cn");
    }
}
