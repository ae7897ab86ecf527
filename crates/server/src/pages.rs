//! The chat page, the browser client and its examples, embedded in the binary.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use include_dir::{Dir, include_dir};

static CHAT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../web/chat");
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../web/sdk");

/// What the page is told about the server.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    pub(crate) listen: SocketAddr,
    /// Where people find it, if the operator has said so.
    pub(crate) public_url: Option<String>,
    pub(crate) durability: &'static str,
}

pub(crate) fn router(info: Info) -> Router {
    Router::new()
        .route("/", get(|| async { file(&CHAT, "index.html") }))
        .route("/chat/info.json", get(move |headers| describe(info.clone(), headers)))
        .route("/chat/{*path}", get(|Path(path): Path<String>| async move { file(&CHAT, &path) }))
        .route("/sdk", get(|| async { Redirect::permanent("sdk/") }))
        .route("/sdk/", get(|| async { file(&SDK, "index.html") }))
        .route("/sdk/{*path}", get(|Path(path): Path<String>| async move { (FOR_ALL, file(&SDK, &path)) }))
        .route("/favicon.ico", get(|| async { Redirect::permanent("chat/icon.svg") }))
        .route("/health/live", get(|| async { "ok\n" }))
        .route("/health/ready", get(|| async { "ok\n" }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing here. The chat is at /.\n") })
}

/// Pages of other origins may load the client; whether they may connect is checked when they do.
const FOR_ALL: [(HeaderName, &str); 1] = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];

/// Only what the page itself needs: no inline code, no other hosts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
    img-src 'self' data:; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

fn file(dir: &'static Dir<'static>, path: &str) -> Response {
    let Some(file) = dir.get_file(path) else {
        return (StatusCode::NOT_FOUND, "There is no such file here.\n").into_response();
    };
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json" | "webmanifest") => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    let headers: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // A new version of the binary must not meet an old page.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), file.contents()).into_response()
}

async fn describe(info: Info, headers: HeaderMap) -> Response {
    // The port that was chosen, if it was left to the system, is in what the page itself asked for.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(info.listen.port());
    let here = || crate::app::urls(info.scheme, SocketAddr::new(info.listen.ip(), port));
    let urls = info.public_url.map_or_else(here, |url| vec![url]);
    let body = serde_json::json!({
        "server": concat!("parlor/", env!("CARGO_PKG_VERSION")),
        "urls": urls,
        "durability": info.durability,
    });
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], axum::Json(body)).into_response()
}
