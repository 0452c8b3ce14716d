//! [`Key`]: the key of a service account, made for a test, and the check that requests are signed with it.

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

/// The service account of tests.
const EMAIL: &str = "lithops@lithops-test.iam.gserviceaccount.com";

/// What requests have that are made with the token of the metadata server of `tests/fake_cloudrun`.
const METADATA: &str = "Bearer ya29.access-token-of-tests";

/// A key of a service account.
#[derive(Debug)]
pub struct Key {
    public: Vec<u8>,
    /// The key file, as Google's console writes it.
    pub file: String,
}

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// The machine has no randomness.
    pub fn generate() -> std::io::Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(std::io::Error::other)?;
        let private = pair.as_der().map_err(std::io::Error::other)?;
        let lines: Vec<String> = STANDARD
            .encode(private.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        let file = json!({
            "type": "service_account",
            "project_id": "lithops-test",
            "private_key_id": "0123456789abcdef",
            "private_key": pem,
            "client_email": EMAIL,
            "client_id": "1",
            "token_uri": "http://127.0.0.1:1/token",
        });
        Ok(Self { public: pair.public_key().as_ref().to_vec(), file: file.to_string() })
    }

    /// Whether the value of `Authorization` is a token that this key has signed for Cloud Storage.
    pub(crate) fn has_signed(&self, authorization: Option<&str>) -> bool {
        if authorization == Some(METADATA) {
            return true;
        }
        let checked = || {
            let token = authorization?.strip_prefix("Bearer ")?;
            let (signed, signature) = token.rsplit_once('.')?;
            let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
            let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public);
            key.verify(signed.as_bytes(), &signature).ok()?;
            let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?;
            let claims: Value = serde_json::from_slice(&claims).ok()?;
            let scope = claims["scope"].as_str()?;
            let may = scope
                .split(' ')
                .any(|scope| scope.ends_with("/auth/cloud-platform") || scope.contains("/auth/devstorage."));
            Some(claims["iss"] == EMAIL && may)
        };
        checked().unwrap_or(false)
    }
}
