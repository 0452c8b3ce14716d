//! The server: connections, and which request is whose.

use std::{convert::Infallible, sync::Arc};

use http_body_util::BodyExt as _;
use hyper::{
    Request, Response, StatusCode, body::Incoming, header::HeaderValue, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};
use uuid::Uuid;

use super::{
    ApiError, answer,
    answer::Body,
    functions::{self, CODE_LIMIT},
    invoke,
    route::Route,
    streaming,
};
use crate::shared::Shared;

/// Serves until it is dropped, and all connections with it.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let serve = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(respond(&shared, request).await) }
            });
            // It may end as it likes: clients go.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
        });
    }
}

async fn respond(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let id = Uuid::new_v4().to_string();
    let mut answer = match dispatch(shared, &id, request).await {
        Ok(answer) => answer,
        Err(error) => {
            shared.ledger.note(|counts| {
                counts.throttled += u64::from(error.is_throttled());
                counts.refused += u64::from(!error.is_throttled());
            });
            error.answer()
        }
    };
    let id = HeaderValue::try_from(id).expect("a UUID is a valid header");
    answer.headers_mut().insert("x-amzn-requestid", id);
    answer
}

async fn dispatch(
    shared: &Arc<Shared>,
    id: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let route = Route::parse(request.method(), request.uri()).ok_or_else(ApiError::unknown_operation)?;
    match route {
        Route::Invoke(named) => invoke::invoke(shared, &named, id, request).await,
        Route::InvokeStreaming(named) => streaming::invoke(shared, &named, id, request).await,
        Route::Create => {
            let body = read_json(request).await?;
            Ok(answer::json(StatusCode::CREATED, &functions::create(shared, body).await?))
        }
        Route::UpdateCode(named) => {
            let body = read_json(request).await?;
            Ok(answer::json(StatusCode::OK, &functions::update_code(shared, &named, body).await?))
        }
        Route::UpdateConfiguration(named) => {
            let body = read_json(request).await?;
            Ok(answer::json(StatusCode::OK, &functions::update_configuration(shared, &named, &body)?))
        }
        Route::Delete(named) => {
            functions::delete(shared, &named).await?;
            Ok(answer::whole(StatusCode::NO_CONTENT, bytes::Bytes::new()))
        }
        Route::Get(named) => Ok(answer::json(StatusCode::OK, &functions::get(shared, &named)?)),
        Route::GetConfiguration(named) => {
            Ok(answer::json(StatusCode::OK, &functions::get_configuration(shared, &named)?))
        }
        Route::List { marker, most } => {
            let list = functions::list(shared, marker.as_deref(), most.as_deref())?;
            Ok(answer::json(StatusCode::OK, &list))
        }
        Route::AccountSettings => Ok(answer::json(StatusCode::OK, &functions::account_settings(shared))),
    }
}

async fn read_json(request: Request<Incoming>) -> Result<serde_json::Value, ApiError> {
    let body = http_body_util::Limited::new(request.into_body(), CODE_LIMIT).collect().await;
    let body = body.map_err(|_| {
        ApiError::too_large(format!("Request must be smaller than {CODE_LIMIT} bytes for this operation"))
    })?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| {
        ApiError::invalid_content(format!("Could not parse request body into json: {error}"))
    })
}
