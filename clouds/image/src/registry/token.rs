//! Tokens of registries, which a server gives for a login.

use lithops_core::error::Result;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;

use super::{
    connection::{ANSWER, Connection, LARGEST_DOCUMENT, PUSH, Request},
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
        let own = format!("repository:{}:pull,push", self.to.repository());
        let scopes: Vec<&str> = match scope {
            Some(scope) if scope.contains(",push") || scope.contains("delete") || scope.contains('*') => {
                vec![scope]
            }
            Some(scope) if what != PUSH => vec![scope],
            _ => vec![&own],
        };
        let mut request =
            Request { method: Method::GET, what, answer: LARGEST_DOCUMENT, ..Request::default() };
        let mut authorization = None;
        if let Kind::Identity(token) = &self.login.0 {
            let mut form =
                format!("grant_type=refresh_token&client_id=lithops&refresh_token={}", encoded(token));
            for (name, value) in service
                .map(|one| ("service", one))
                .into_iter()
                .chain(scopes.iter().map(|one| ("scope", *one)))
            {
                form.push_str(&format!("&{name}={}", encoded(value)));
            }
            request.method = Method::POST;
            request.content_type = Some("application/x-www-form-urlencoded");
            request.body = Some(form.into());
        } else {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(service.map(|service| ("service", service)));
            query.extend_pairs(scopes.iter().map(|scope| ("scope", *scope)));
            drop(query);
            authorization = self.login.basic();
        }
        let mut builder = self.client.request(request.method.clone(), url).timeout(ANSWER);
        if let Some(authorization) = authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let (Some(kind), Some(body)) = (request.content_type, request.body) {
            builder = builder.header(CONTENT_TYPE, kind).body(body);
        }
        // A token changes nothing in the registry.
        self.count(false);
        let response = builder.send().await.map_err(|error| unanswered(what, &self.to, &error))?;
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
