//! [`Tokens`]: a service account with its key file, and the ID tokens that Google would make for it.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

/// The service account of tests.
pub(crate) const EMAIL: &str = "lithops@lithops-test.iam.gserviceaccount.com";
/// How long tokens are valid.
const LIFE: u64 = 3600;

/// The keys of the service account and of Google.
#[derive(Debug)]
pub(crate) struct Tokens {
    account: KeyPair,
    google: KeyPair,
}

impl Tokens {
    pub(crate) fn new() -> std::io::Result<Self> {
        let make = || KeyPair::generate(KeySize::Rsa2048).map_err(std::io::Error::other);
        Ok(Self { account: make()?, google: make()? })
    }

    /// The key file of the service account, whose tokens are made at `token_uri`.
    pub(crate) fn key_file(&self, token_uri: &str) -> std::io::Result<String> {
        let private = self.account.as_der().map_err(std::io::Error::other)?;
        let encoded = STANDARD.encode(private.as_ref());
        let lines: Vec<_> =
            encoded.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        Ok(json!({
            "type": "service_account",
            "project_id": "lithops-test",
            "private_key_id": "0123456789abcdef",
            "private_key": pem,
            "client_email": EMAIL,
            "client_id": "1",
            "token_uri": token_uri,
        })
        .to_string())
    }

    /// Exchanges what the service account has signed for an ID token, or for an access token.
    pub(crate) fn exchange(&self, form: &str) -> Option<Value> {
        let assertion = form.split('&').find_map(|pair| pair.strip_prefix("assertion="))?;
        let claims = checked(&self.account, assertion).filter(|claims| claims["iss"] == EMAIL)?;
        if let Some(audience) = claims["target_audience"].as_str() {
            return Some(json!({"id_token": self.identity(audience)?}));
        }
        let scope = "https://www.googleapis.com/auth/cloud-platform";
        (claims["scope"] == scope)
            .then(|| json!({"access_token": ACCESS, "expires_in": LIFE, "token_type": "Bearer"}))
    }

    /// An ID token for an audience.
    pub(crate) fn identity(&self, audience: &str) -> Option<String> {
        let claims = json!({
            "iss": "https://accounts.google.com",
            "aud": audience,
            "email": EMAIL,
            "email_verified": true,
            "iat": now(),
            "exp": now() + LIFE,
        });
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": "google"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let mut signature = vec![0; self.google.public_modulus_len()];
        let random = SystemRandom::new();
        self.google.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Whether the value of `Authorization` is an ID token for this audience.
    pub(crate) fn may_invoke(&self, authorization: Option<&str>, audience: &str) -> bool {
        let claims = authorization.and_then(|value| checked(&self.google, value.strip_prefix("Bearer ")?));
        claims.is_some_and(|claims| claims["aud"] == audience && claims["exp"].as_u64() > Some(now()))
    }

    /// Whether the value of `Authorization` is a login of the registry: an access token of Google. What a service account has
    /// signed itself is none.
    pub(crate) fn may_push(&self, authorization: Option<&str>) -> bool {
        let login = authorization.and_then(|value| STANDARD.decode(value.strip_prefix("Basic ")?).ok());
        login.is_some_and(|login| login == format!("oauth2accesstoken:{ACCESS}").as_bytes())
    }

    /// Whether the value of `Authorization` is an access token: one that the service account has signed itself, or one of
    /// Google.
    pub(crate) fn may_manage(&self, authorization: Option<&str>) -> bool {
        let Some(token) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
        token == ACCESS || checked(&self.account, token).is_some_and(|claims| claims["iss"] == EMAIL)
    }
}

/// The access token that Google gives.
pub(crate) const ACCESS: &str = "ya29.access-token-of-tests";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The claims of a token that a key has signed.
fn checked(key: &KeyPair, token: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(signed.as_bytes(), &signature).ok()?;
    let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?;
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_audience_and_of_one_key() {
        let (tokens, others) = (Tokens::new().expect("keys"), Tokens::new().expect("keys"));
        let bearer = |token: Option<String>| format!("Bearer {}", token.expect("a token"));
        let token = bearer(tokens.identity("http://a"));
        assert!(tokens.may_invoke(Some(&token), "http://a"));
        assert!(!tokens.may_invoke(Some(&token), "http://b"));
        assert!(!others.may_invoke(Some(&token), "http://a"));
        assert!(!tokens.may_invoke(None, "http://a") && !tokens.may_manage(Some(&token)));
        assert!(tokens.may_manage(Some(&format!("Bearer {ACCESS}"))));
        let login =
            |password: &str| format!("Basic {}", STANDARD.encode(format!("oauth2accesstoken:{password}")));
        assert!(tokens.may_push(Some(&login(ACCESS))) && !tokens.may_push(Some(&login(&token))));
        assert_eq!(tokens.exchange("assertion=a.b.c"), None);
    }
}
