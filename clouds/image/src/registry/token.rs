//! Tokens of registries, which a server gives for a login.

use lithops_core::error::Result;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Url,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;

use super::{
    connection::{ANSWER, Connection, LARGEST_DOCUMENT, PUSH},
    failure::{answered, unanswered, unexpected},
    login::Kind,
};

impl Connection {
    /// Asks the token server for a token.
    pub(super) async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        what: &'static str,
    ) -> Result<String> {
        let mut url =
            Url::parse(realm).map_err(|_| unexpected(what, &self.to, "its token server is no URL"))?;
        if url.scheme() != "https" && self.root.scheme() == "https" {
            return Err(unexpected(what, &self.to, "its token server is without TLS"));
        }
        // The registry names what the request needs; a push goes on to write.
        let actions = if what == PUSH { "pull,push" } else { "pull" };
        let own = format!("repository:{}:{actions}", self.to.repository());
        let is_enough = |scope: &&str| what != PUSH || scope.contains(",push") || scope.contains('*');
        let scope = scope.filter(is_enough).unwrap_or(&own);
        let fields = service.map(|service| ("service", service)).into_iter().chain([("scope", scope)]);
        let request = if let Kind::Identity(token) = &self.login.0 {
            let mut form =
                format!("grant_type=refresh_token&client_id=lithops&refresh_token={}", encoded(token));
            for (name, value) in fields {
                form.push_str(&format!("&{name}={}", encoded(value)));
            }
            self.client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
        } else {
            url.query_pairs_mut().extend_pairs(fields);
            let request = self.client.get(url);
            match self.login.basic() {
                Some(authorization) => request.header(AUTHORIZATION, authorization),
                None => request,
            }
        };
        // A token changes nothing in the registry.
        self.count(false);
        let response =
            request.timeout(ANSWER).send().await.map_err(|error| unanswered(what, &self.to, &error))?;
        let answer = self.read(what, response, LARGEST_DOCUMENT).await?;
        if !answer.status.is_success() {
            return Err(answered(what, &self.to, &self.login, answer.status, &answer.body));
        }
        let tokens: Tokens = serde_json::from_slice(&answer.body).unwrap_or_default();
        let token = Some(tokens.token).filter(|token| !token.is_empty()).unwrap_or(tokens.access_token);
        if token.is_empty() {
            return Err(unexpected(what, &self.to, "its token server gave no token"));
        }
        Ok(token)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tokens {
    token: String,
    access_token: String,
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}
