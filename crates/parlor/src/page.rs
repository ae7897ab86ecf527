//! `Page`: a text with its scripts and styles inside it, and the policy that lets those run and nothing else.

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use sha2::{Digest, Sha256};

/// A page and its Content-Security-Policy.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    html: &'static str,
    policy: HeaderValue,
}

impl Page {
    pub(crate) fn new(html: &'static str) -> Page {
        // Hashes and keywords are visible ASCII, so this does not fail; if it did, the page would do nothing.
        let policy = HeaderValue::try_from(policy(html));
        Page { html, policy: policy.unwrap_or(HeaderValue::from_static("default-src 'none'")) }
    }

    pub(crate) fn response(&self, status: StatusCode) -> Response<Body> {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            // A new version of the program must not meet an old page.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        answer(status, headers, self.html)
    }
}

/// The answer of a route that does not show itself.
pub(crate) fn not_found() -> Response<Body> {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
    answer(StatusCode::NOT_FOUND, headers, "There is nothing here.\n")
}

fn answer<const N: usize>(
    status: StatusCode,
    headers: [(HeaderName, HeaderValue); N],
    body: &'static str,
) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}

/// Nothing but the page's own inline scripts and styles (CSP level 3, section 2.3.1), pictures in it, and connections
/// to this server; `ws:` and `wss:` because not every browser counts them as `'self'`.
fn policy(html: &str) -> String {
    let hashes = |name| -> String {
        let hash = |text: &str| format!(" 'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
        let found: String = inline(html, name).iter().map(|text| hash(text)).collect();
        if found.is_empty() { " 'none'".to_owned() } else { found }
    };
    format!(
        "default-src 'none'; script-src{}; style-src{}; connect-src 'self' ws: wss:; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hashes("script"),
        hashes("style"),
    )
}

/// The texts of all elements of this name, `script` or `style`, as a browser reads and hashes them.
fn inline(html: &str, name: &str) -> Vec<String> {
    // Lines end in LF for a browser, whatever they end in here (HTML section 13.2.3.5).
    let html = html.replace("\r\n", "\n");
    // Changing the case of ASCII moves nothing.
    let lower = html.to_ascii_lowercase();
    let mut texts = Vec::new();
    let mut at = 0;
    while let Some(tag) = lower[at..].find('<').map(|found| at + found) {
        let (end, is_ours) = match &lower[tag + 1..] {
            comment if comment.starts_with("!--") => {
                (lower[tag + 4..].find("-->").map(|end| tag + 7 + end), false)
            }
            rest => (tag_end(rest).map(|end| tag + 1 + end), is_tag(rest, name)),
        };
        let Some(start) = end else { break };
        at = start;
        // Only the end tag of its own name ends the text of one of these.
        let raw = ["script", "style"].into_iter().find(|raw| is_tag(&lower[tag + 1..], raw));
        if let Some(raw) = raw {
            let close = lower[start..]
                .match_indices("</")
                .find(|(close, _)| is_tag(&lower[start + close + 2..], raw));
            let Some((length, _)) = close else { break };
            if is_ours {
                texts.push(html[start..start + length].to_owned());
            }
            at = start + length;
        }
    }
    texts
}

/// Whether this is the inside of a tag of this name, after its `<` or `</`.
fn is_tag(inside: &str, name: &str) -> bool {
    inside.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '\t', '\n', '/', '>']))
}

/// Where the text begins after a tag: behind the first `>` that no attribute's quotes hold.
fn tag_end(inside: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in inside.bytes().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return Some(at + 1),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_texts_are_found_as_a_browser_finds_them() {
        fn check(html: &str, scripts: &[&str], styles: &[&str]) {
            assert_eq!(inline(html, "script"), scripts, "{html}");
            assert_eq!(inline(html, "style"), styles, "{html}");
        }
        check("<p>no script", &[], &[]);
        check("<style>a{}</style><script>b()</script>", &["b()"], &["a{}"]);
        check("<SCRIPT type=module>x</Script ><script>\n</script>", &["x", "\n"], &[]);
        check("<script data-x=\"a>b\">1 < 2; '<style>'</script>", &["1 < 2; '<style>'"], &[]);
        check("<!-- <script>no</script> --><script>yes</script>", &["yes"], &[]);
        check("<!-- never ends <script>no</script>", &[], &[]);
        check("<scripted>no</scripted><styles>no</styles>", &[], &[]);
        check("<script>a\r\nb</script>", &["a\nb"], &[]);
        check("<script>never ends", &[], &[]);
        check("<style>é</style><script>'开始 </scripts>'</script>", &["'开始 </scripts>'"], &["é"]);
        check("a < b <i title='>'>c</i><style>d</style>", &[], &["d"]);
        check("<", &[], &[]);
    }

    #[test]
    fn the_policy_names_what_the_page_holds_and_nothing_else() {
        // The hash of `alert('Hello, world.');` is the example of CSP level 3, section 6.7.3.3.
        let policy = policy("<script>alert('Hello, world.');</script>");
        let expected = "default-src 'none'; script-src 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='; \
                        style-src 'none'; connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; \
                        form-action 'none'; frame-ancestors 'none'";
        assert_eq!(policy, expected);
    }
}
