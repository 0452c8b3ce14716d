//! [`Route`]: what a request asks for.

use hyper::{Method, Uri};

use crate::names::{Named, decode};

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Create,
    List { marker: Option<String>, most: Option<String> },
    Get(Named),
    GetConfiguration(Named),
    UpdateCode(Named),
    UpdateConfiguration(Named),
    Delete(Named),
    AccountSettings,
    Invoke(Named),
    InvokeStreaming(Named),
}

impl Route {
    /// Reads what is asked for, if this fake knows it.
    pub(super) fn parse(method: &Method, uri: &Uri) -> Option<Self> {
        let query = |name: &str| query(uri, name);
        let named = |segment: &str| {
            let mut named = Named::parse(segment);
            named.qualifier = named.qualifier.or_else(|| query("Qualifier"));
            named
        };
        let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
        Some(match (method.as_str(), &segments[..]) {
            ("POST", ["2015-03-31", "functions"]) => Self::Create,
            ("GET", ["2015-03-31", "functions"]) => {
                Self::List { marker: query("Marker"), most: query("MaxItems") }
            }
            ("GET", ["2015-03-31", "functions", name]) => Self::Get(named(name)),
            ("DELETE", ["2015-03-31", "functions", name]) => Self::Delete(named(name)),
            ("GET", ["2015-03-31", "functions", name, "configuration"]) => {
                Self::GetConfiguration(named(name))
            }
            ("PUT", ["2015-03-31", "functions", name, "configuration"]) => {
                Self::UpdateConfiguration(named(name))
            }
            ("PUT", ["2015-03-31", "functions", name, "code"]) => Self::UpdateCode(named(name)),
            ("GET", ["2016-08-19", "account-settings"]) => Self::AccountSettings,
            ("POST", ["2015-03-31", "functions", name, "invocations"]) => Self::Invoke(named(name)),
            ("POST", ["2021-11-15", "functions", name, "response-streaming-invocations"]) => {
                Self::InvokeStreaming(named(name))
            }
            _ => return None,
        })
    }
}

fn query(uri: &Uri, wanted: &str) -> Option<String> {
    let mut pairs = uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| decode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, uri: &'static str) -> Option<Route> {
        Route::parse(&method, &Uri::from_static(uri))
    }

    #[test]
    fn a_name_may_bring_its_version_or_not() {
        let named = |qualifier: Option<&str>| Named {
            name: "f".to_owned(),
            qualifier: qualifier.map(ToOwned::to_owned),
        };
        assert_eq!(parse(Method::GET, "/2015-03-31/functions/f"), Some(Route::Get(named(None))));
        assert_eq!(
            parse(Method::POST, "/2015-03-31/functions/f/invocations?Qualifier=%24LATEST"),
            Some(Route::Invoke(named(Some("$LATEST"))))
        );
    }

    #[test]
    fn the_list_has_pages() {
        let list = Route::List { marker: Some("a=b".to_owned()), most: Some("2".to_owned()) };
        assert_eq!(parse(Method::GET, "/2015-03-31/functions/?MaxItems=2&Marker=a%3Db"), Some(list));
        assert_eq!(
            parse(Method::GET, "/2015-03-31/functions"),
            Some(Route::List { marker: None, most: None })
        );
    }

    #[test]
    fn what_is_not_known_is_no_route() {
        assert_eq!(parse(Method::PATCH, "/2015-03-31/functions/f"), None);
        assert_eq!(parse(Method::GET, "/"), None);
    }
}
