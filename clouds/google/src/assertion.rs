//! Tokens by the key of a service account: what the key has signed is exchanged for a token at the address that the key
//! file names. `google-cloud-auth` does that for ID tokens at one fixed address; what it gives as access tokens is what the
//! key has signed itself, which not every service takes: registries of images want a token of Google.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use lithops_core::error::{Error, ErrorKind, Result, Retry};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::KeyFile;

/// How long an assertion, and the token that is made for it, is valid.
const LIFE: Duration = Duration::from_secs(3600);
/// So long before its end a token is made anew.
const MARGIN: Duration = Duration::from_secs(300);
/// How long the exchange may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Where Google exchanges.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose<'a> {
    /// An ID token for this audience.
    Id(&'a str),
    /// An access token of this scope.
    Access(&'a str),
}

impl<'a> Purpose<'a> {
    /// The claim by which it is asked for, the field of the answer, and what it is called.
    fn names(self) -> (&'static str, &'a str, &'static str, String) {
        match self {
            Self::Id(audience) => {
                ("target_audience", audience, "id_token", format!("ID token for `{audience}`"))
            }
            Self::Access(scope) => ("scope", scope, "access_token", "access token".to_owned()),
        }
    }
}

/// Makes tokens, and keeps them.
pub(crate) struct Assertion {
    email: String,
    key_id: String,
    token_uri: String,
    key: RsaKeyPair,
    http: Client,
    made: Mutex<HashMap<String, (String, Instant)>>,
}

#[derive(Deserialize)]
struct Content {
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    private_key: String,
    token_uri: Option<String>,
}

impl Assertion {
    /// Reads the key.
    ///
    /// # Errors
    /// The file has none.
    pub(crate) fn of(file: &KeyFile) -> Result<Self> {
        let broken = || {
            let email = file.client_email.as_deref().unwrap_or("an unknown account");
            Error::new(
                ErrorKind::ConfigInvalid,
                format!("the key of `{email}` in `{}` is broken", file.path.display()),
            )
            .with_hint("name the JSON key of a service account as Google's console wrote it")
        };
        let content: Content = serde_json::from_str(file.expose()).map_err(|_| broken())?;
        let lines = content.private_key.lines().filter(|line| !line.starts_with("-----"));
        let der = STANDARD.decode(lines.collect::<String>()).map_err(|_| broken())?;
        let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| broken())?;
        let token_uri = content.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned());
        let mut http = Client::builder().timeout(TIMEOUT);
        if token_uri.starts_with("http://") {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|_| broken())?;
        let (email, key_id) = (content.client_email, content.private_key_id);
        Ok(Self { email, key_id, token_uri, key, http, made: Mutex::default() })
    }

    /// A token. `anew` says that the last one was not accepted.
    ///
    /// # Errors
    /// The exchange fails, or refuses the key.
    pub(crate) async fn token(&self, purpose: Purpose<'_>, anew: bool) -> Result<String> {
        let (_, of, ..) = purpose.names();
        let mut made = self.made.lock().await;
        let kept = made.get(of).filter(|(_, until)| !anew && *until > Instant::now());
        if let Some((token, _)) = kept {
            return Ok(token.clone());
        }
        let token = self.exchange(purpose).await?;
        made.insert(of.to_owned(), (token.clone(), Instant::now() + LIFE - MARGIN));
        Ok(token)
    }

    async fn exchange(&self, purpose: Purpose<'_>) -> Result<String> {
        let (_, _, field, what) = purpose.names();
        let failed = |words: String, retry| {
            let message = format!("the service account `{}` gets no {what}: {words}", self.email);
            Error::new(ErrorKind::PermissionDenied, message)
                .with_hint("is the key still valid, and this machine's clock right? make a new key in the console of Google")
                .with_retry(retry)
        };
        let assertion = self.signed(purpose).map_err(|words| failed(words, Retry::Never))?;
        let form =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let sent =
            self.http.post(&self.token_uri).header("content-type", "application/x-www-form-urlencoded");
        let unreached = |error: reqwest::Error| failed(error.without_url().to_string(), Retry::Later);
        let answer = sent.body(form).send().await.map_err(unreached)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreached)?;
        let json: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match json[field].as_str() {
            Some(token) if status.is_success() => Ok(token.to_owned()),
            _ => {
                let words = json["error_description"]
                    .as_str()
                    .or(json["error"].as_str())
                    .unwrap_or("no reason is given");
                let retry = if status.is_server_error() { Retry::Later } else { Retry::Never };
                Err(failed(format!("{words} ({status})"), retry))
            }
        }
    }

    fn signed(&self, purpose: Purpose<'_>) -> std::result::Result<String, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let (claim, of, ..) = purpose.names();
        let claims = json!({
            "iss": self.email,
            "aud": self.token_uri,
            claim: of,
            "iat": now,
            "exp": now + LIFE.as_secs(),
        });
        let signed = format!("{}.{}", part(&head), part(&claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| "the key cannot sign".to_owned())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for Assertion {
    /// Leaves out key and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion").field("email", &self.email).finish_non_exhaustive()
    }
}
