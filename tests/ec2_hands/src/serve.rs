//! The server: requests to EC2, and what tests ask for.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{answer, fleet, form::Form, instance::Cause, moto::Answer, region::Region};

/// What every spot instance costs in an hour; moto has no market.
const SPOT_PRICE: &str = "0.030000";

/// Serves connections until it is dropped.
pub(crate) async fn serve(listener: TcpListener, region: Arc<Region>) {
    while let Ok((stream, _)) = listener.accept().await {
        let region = Arc::clone(&region);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&region), request));
            // A client may go away.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    region: Arc<Region>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let path = parts.uri.path().to_owned();
    let (status, text) = match path.strip_prefix("/_hands/") {
        Some(wish) => for_tests(&region, wish, &body).await,
        None => of_aws(&region, headers, body).await,
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

async fn for_tests(region: &Arc<Region>, wish: &str, body: &str) -> Answer {
    let done = |is_so: bool| if is_so { (200, String::new()) } else { (404, "no such instance".to_owned()) };
    match wish.split('/').collect::<Vec<_>>().as_slice() {
        ["state"] => (200, region.json().to_string()),
        ["summary"] => (200, region.summary().to_string()),
        ["templates"] => region.templates().await,
        ["requests"] => (200, region.requests().to_string()),
        ["faults"] => match serde_json::from_str(body) {
            Ok(faults) => {
                region.set_faults(faults);
                (200, String::new())
            }
            Err(error) => (400, error.to_string()),
        },
        ["spot", id] => done(region.interrupt(id).await),
        ["lose", id] => {
            region.end(id, Cause::Spot);
            (200, String::new())
        }
        ["shutdown", id, "now"] => {
            region.end(id, Cause::Itself);
            (200, String::new())
        }
        ["shutdown", id, minutes] => match minutes.parse::<u64>() {
            Ok(minutes) => {
                region.end_later(id, Duration::from_secs(60 * minutes), Cause::Itself);
                (200, String::new())
            }
            Err(error) => (400, error.to_string()),
        },
        _ => (404, "the hands do not know that".to_owned()),
    }
}

async fn of_aws(region: &Arc<Region>, headers: Vec<(String, String)>, body: String) -> Answer {
    let form = Form::parse(&body);
    let action = form.get("Action").unwrap_or_default().to_owned();
    region.note_request(json!({"action": action, "headers": headers, "body": body}));
    if !headers.iter().any(|(name, value)| name == "authorization" && value.starts_with("AWS4-HMAC-SHA256 "))
    {
        return (401, answer::error("AuthFailure", "The request is not signed"));
    }
    if let Some(code) = region.refusal(&action) {
        let status = if code == "UnauthorizedOperation" { 403 } else { 400 };
        return (status, answer::error(&code, "The hands were told to refuse this"));
    }
    let is_dry = form.get("DryRun") == Some("true");
    let target =
        headers.iter().find(|(name, _)| name == "x-amz-target").map_or("", |(_, value)| value.as_str());
    let done = match action.as_str() {
        // moto looks at nothing else then, and starts nothing.
        _ if is_dry => region.moto.send(&headers, body).await,
        _ if target.ends_with(".GetServiceQuota") => (200, answer::quota(region.quota())),
        "DescribeSpotPriceHistory" => {
            let (status, text) = region.moto.send(&headers, body).await;
            (status, answer::priced(&text, SPOT_PRICE))
        }
        "CreateFleet" => fleet::create(region, &form).await,
        "DescribeInstances" => {
            let (status, text) = region.moto.ec2(&form).await;
            (status, answer::described(&text, |id| region.described(id)))
        }
        // One that is not known keeps all others of the request alive.
        "TerminateInstances" if form.all("InstanceId").iter().any(|id| !region.knows(id)) => {
            let unknown: Vec<_> = form.all("InstanceId").into_iter().filter(|id| !region.knows(id)).collect();
            let message = format!("The instance IDs '{}' do not exist", unknown.join(", "));
            (400, answer::error("InvalidInstanceID.NotFound", &message))
        }
        "TerminateInstances" => {
            let (status, text) = region.moto.ec2(&form).await;
            if status == 200 {
                form.all("InstanceId").iter().for_each(|id| region.end(id, Cause::User));
            }
            (status, text)
        }
        "GetConsoleOutput" => {
            let id = form.get("InstanceId").unwrap_or_default();
            (200, answer::console(id, &region.console(id)))
        }
        // Other services, and what moto does well.
        _ => region.moto.send(&headers, body).await,
    };
    if region.takes_answer(&action) {
        return (503, "Service Unavailable".to_owned());
    }
    done
}
