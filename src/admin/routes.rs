//! Which answer a path gets. A table; every answer but the metrics is JSON.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;

use crate::telemetry::metrics::MEDIA_TYPE;

use super::command::{AdminCommand, Query};
use super::guard::{self, Access};
use super::source::AdminSource;
use super::status::{ReloadAnswer, RollbackAnswer};

/// Every path, with the method it takes.
const TABLE: [(&str, Page, Method); 12] = [
    ("/status", Page::Status, Method::GET),
    ("/metrics", Page::Metrics, Method::GET),
    ("/heals", Page::Heals, Method::GET),
    ("/history", Page::History, Method::GET),
    ("/events", Page::Events, Method::GET),
    ("/healthz", Page::Healthz, Method::GET),
    ("/reload", Page::Reload, Method::POST),
    ("/rollback", Page::Rollback, Method::POST),
    ("/heal", Page::Heal, Method::POST),
    ("/drill", Page::Drill, Method::POST),
    ("/pause", Page::Pause, Method::POST),
    ("/resume", Page::Resume, Method::POST),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Status,
    Metrics,
    Heals,
    History,
    Events,
    Healthz,
    Reload,
    Rollback,
    Heal,
    Drill,
    Pause,
    Resume,
}

/// Answers one request.
pub(super) async fn answer(head: &Parts, access: Access, source: &Arc<dyn AdminSource>) -> Response<Full<Bytes>> {
    if let (Access::Full, Some(reason)) = (access, guard::refusal(head)) {
        return error(StatusCode::FORBIDDEN, reason);
    }
    // Nothing that changes something, and nothing that files, containers or programs have said.
    let is_open = |page: Page| matches!(page, Page::Status | Page::Metrics | Page::Healthz);
    let served = || TABLE.iter().filter(|(_, page, _)| access == Access::Full || is_open(*page));
    let Some((_, page, method)) = served().find(|(path, _, _)| *path == head.uri.path()) else {
        let paths = served().map(|(path, _, _)| *path).collect::<Vec<_>>().join(" ");
        return error(StatusCode::NOT_FOUND, &format!("no such path; the paths are {paths}"));
    };
    let allowed = head.method == *method || (*method == Method::GET && head.method == Method::HEAD);
    if !allowed {
        let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &format!("this path requires {method}"));
        let allow = if *method == Method::GET { "GET, HEAD" } else { "POST" };
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        return response;
    }
    let query = head.uri.query().unwrap_or_default();
    match page {
        Page::Status if access == Access::Full => json(StatusCode::OK, &source.status()),
        Page::Status => json(StatusCode::OK, &source.status().without_texts()),
        Page::Metrics => respond(StatusCode::OK, MEDIA_TYPE, source.metrics()),
        Page::Heals => json(StatusCode::OK, &source.heals()),
        Page::History => json(StatusCode::OK, &source.history()),
        Page::Events => json(StatusCode::OK, &source.events()),
        Page::Healthz => json(StatusCode::OK, &json!({ "status": "ok" })),
        Page::Reload => match Query::read(query, &["upstream"]) {
            Ok(query) if query.names_upstream() => run(query.reload(), source).await,
            Ok(_) => match source.reload().await {
                Ok(reloaded) => json(StatusCode::OK, &ReloadAnswer::from(&reloaded)),
                Err(report) => error(StatusCode::UNPROCESSABLE_ENTITY, &report),
            },
            Err(why) => error(StatusCode::BAD_REQUEST, &why),
        },
        Page::Rollback => match Query::read(query, &["to"]).and_then(Query::rollback) {
            Ok(to) => match source.roll_back(to).await {
                Ok(done) => json(StatusCode::OK, &RollbackAnswer::from(&done)),
                Err(report) => error(StatusCode::UNPROCESSABLE_ENTITY, &report),
            },
            Err(why) => error(StatusCode::BAD_REQUEST, &why),
        },
        Page::Heal => run(Query::read(query, &["upstream", "backend"]).and_then(Query::heal), source).await,
        Page::Drill => run(Query::read(query, &["upstream"]).and_then(Query::drill), source).await,
        Page::Pause => run(Query::read(query, &["upstream", "for"]).and_then(Query::pause), source).await,
        Page::Resume => run(Query::read(query, &["upstream"]).map(Query::resume), source).await,
    }
}

/// Has the healer do it; 409 where it cannot be begun.
async fn run(command: Result<AdminCommand, String>, source: &Arc<dyn AdminSource>) -> Response<Full<Bytes>> {
    let command = match command {
        Ok(command) => command,
        Err(why) => return error(StatusCode::BAD_REQUEST, &why),
    };
    match source.command(command).await {
        Ok(done) => json(StatusCode::OK, &done),
        Err(why) => error(StatusCode::CONFLICT, &why),
    }
}

fn error(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    json(status, &json!({ "error": text }))
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => respond(status, "application/json", text + "\n"),
        Err(cause) => {
            log::error!("cannot write a response as JSON: {cause}");
            respond(StatusCode::INTERNAL_SERVER_ERROR, "application/json", "{}\n".to_owned())
        }
    }
}

fn respond(status: StatusCode, media_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
