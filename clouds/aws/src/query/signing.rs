//! Signatures of requests: version 4 of AWS.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};

/// Where a request goes to.
pub(super) struct Target<'a> {
    pub(super) url: &'a str,
    pub(super) host: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The headers that a request is sent with: those that were given, and those of its signature.
///
/// # Errors
/// The request cannot be signed; the error says why.
pub(super) fn headers(
    credentials: Credentials,
    target: &Target<'_>,
    given: &[(&str, &str)],
    body: &[u8],
    now: SystemTime,
) -> Result<Vec<(String, String)>, String> {
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(target.region)
        .name(target.service)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let all = given.iter().copied().chain([("host", target.host)]);
    let request = SignableRequest::new("POST", target.url, all.clone(), SignableBody::Bytes(body));
    let request = request.map_err(|error| error.to_string())?;
    let (signed, _) = sign(request, &params).map_err(|error| error.to_string())?.into_parts();
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Ok(given.iter().copied().map(owned).chain(signed.headers().map(owned)).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What botocore 1.42 signs for the same request: `cargo xtask e2e aws_ec2` compares whole requests with its own.
    #[test]
    fn a_signature_covers_host_time_and_body() {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("token".into()), None, "test");
        let target = Target {
            url: "https://ec2.eu-west-1.amazonaws.com/",
            host: "ec2.eu-west-1.amazonaws.com",
            region: "eu-west-1",
            service: "ec2",
        };
        let given = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let sign = |body: &[u8], at: u64| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
            headers(credentials.clone(), &target, &given, body, now).expect("it can be signed")
        };
        let first = sign(b"Action=DescribeInstances&Version=2016-11-15", 1_700_000_000);
        let header = |name: &str| {
            let found = first.iter().find(|(one, _)| one == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        assert_eq!(header("x-amz-date"), "20231114T221320Z");
        assert_eq!(header("x-amz-security-token"), "token");
        let authorization = header("authorization");
        assert!(
            authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20231114/eu-west-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
            ),
            "{authorization}"
        );
        assert_ne!(first, sign(b"Action=DescribeInstances&Version=2016-11-16", 1_700_000_000));
        assert_ne!(first, sign(b"Action=DescribeInstances&Version=2016-11-15", 1_700_000_001));
    }
}
