//! A queue as an answer that never ends: lines of text, or a page of scripts; and whose pages may ask.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};

use super::Queue;
use crate::chat::random;

/// An answer that has nothing to say says so now and then, so that both sides notice when the other is gone, and proxies
/// do not end it: the usual ones wait for 30 or 60 s.
const BEAT: Duration = Duration::from_secs(20);

impl Queue {
    /// An answer that never ends, with what comes to the queue, a line for each text. Empty lines say that it lives.
    pub fn into_lines(self) -> Response {
        let lines = |texts: Vec<String>| texts.join("\n") + "\n";
        self.into_answer("text/plain; charset=utf-8", "default-src 'none'", String::new(), lines)
    }

    /// The same as a page for a hidden frame, whose scripts run as they come: each hands its text to the frame's parent
    /// with `postMessage`. No text can end its script or command the page.
    pub fn into_page(self, title: &str) -> Response {
        let title = title.replace('&', "&amp;").replace('<', "&lt;");
        let nonce = format!("{:032x}", u128::from_ne_bytes(random::bytes()));
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'self'"
        );
        let head = format!(
            "<!doctype html><meta charset=\"utf-8\"><title>{title}</title><body><script nonce=\"{nonce}\">\
             const say = (text) => {{ document.body.append(text, document.createElement(\"br\")); \
             parent.postMessage(text, location.origin); }};</script>\n"
        );
        let scripts = move |texts: Vec<String>| match &*texts {
            [] => "\n".to_owned(),
            texts => texts.iter().map(|text| script(text, &nonce)).collect(),
        };
        self.into_answer("text/html; charset=utf-8", &policy, head, scripts)
    }

    fn into_answer(
        self,
        kind: &'static str,
        policy: &str,
        head: String,
        write: impl Fn(Vec<String>) -> String + Send + 'static,
    ) -> Response {
        let chunks = stream::unfold((self, write, head), |(queue, write, head)| async {
            let chunk = match head.is_empty() {
                true => {
                    let texts = queue.take(BEAT).await;
                    write(texts)
                }
                false => head,
            };
            Some((Ok::<_, Infallible>(chunk), (queue, write, String::new())))
        });
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (headers, Body::from_stream(chunks)).into_response()
    }
}

/// A text as a script block that cannot be ended by it: in JSON, `<` may be spelled out.
fn script(text: &str, nonce: &str) -> String {
    let text = serde_json::Value::from(text).to_string().replace('<', "\\u003c");
    format!("<script nonce=\"{nonce}\">say({text})</script>\n")
}

/// A layer for routes that only this server's own pages may ask, and programs that are no browser: others are answered
/// with 403, for a browser says in `Sec-Fetch-Site` whose page asks. For `axum::middleware::from_fn`.
///
/// # Errors
/// 403.
pub async fn own_pages(request: Request, next: Next) -> Result<Response, StatusCode> {
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    match site {
        None | Some(b"same-origin" | b"none") => Ok(next.run(request).await),
        Some(_) => Err(StatusCode::FORBIDDEN),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::super::Queues;
    use super::*;

    async fn next(answer: &mut Response) -> String {
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn lines_come_as_they_are_put_and_a_beat_where_none_do() {
        let queue = Queues::default().of("ann").unwrap();
        let mut answer = queue.clone().into_lines();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        queue.put("a").unwrap();
        queue.put("b").unwrap();
        assert_eq!(next(&mut answer).await, "a\nb\n");
        assert_eq!(next(&mut answer).await, "\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_cannot_leave_its_script() {
        let queue = Queues::default().of("ann").unwrap();
        let mut answer = queue.clone().into_page("<b>");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        let head = next(&mut answer).await;
        let begins = format!("<title>&lt;b></title><body><script nonce=\"{nonce}\">const say = ");
        assert!(head.contains(&begins), "{head}");
        queue.put("</script>\"<!--").unwrap();
        let expected = format!("<script nonce=\"{nonce}\">say(\"\\u003c/script>\\\"\\u003c!--\")</script>\n");
        assert_eq!(next(&mut answer).await, expected);
        assert_eq!(next(&mut answer).await, "\n");
    }
}
