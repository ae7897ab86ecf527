//! Which pages may connect: same origin, loopback among itself, and what the operator names.

use http::header::{self, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue};

/// The rule for the `Origin` header.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// Further origins, as in `https://app.example`.
    pub allowed: Vec<String>,
    /// Parlor listens on loopback only: then any loopback origin counts as the same.
    pub loopback: bool,
    /// Every page may connect: for servers that know nobody by a cookie.
    pub any: bool,
}

impl Origins {
    /// `Err` holds the origin that was refused. A request without `Origin` does not come from a page and passes.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        if self.any {
            return Ok(());
        }
        let Ok(origin) = origin.to_str() else { return Err("(not ASCII)".into()) };
        if self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
            return Ok(());
        }
        let Some(authority) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
        else {
            return Err(origin.into());
        };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        // `Host` leaves the scheme's own port out, and so does `Origin`: equal text is the same origin, up to the
        // scheme, which a proxy in front may have changed.
        let same = !host.is_empty() && authority.eq_ignore_ascii_case(host);
        if same || self.loopback && is_loopback(authority) { Ok(()) } else { Err(origin.into()) }
    }
}

/// Lets the page that asked read the answer; its origin was checked.
pub(crate) fn allow(answer: &mut HeaderMap, origin: Option<&HeaderValue>) {
    let Some(origin) = origin else { return };
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    answer.append(header::VARY, HeaderValue::from_static("origin"));
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(origin: &str, host: &str, passes: bool) {
        let origins = Origins {
            allowed: vec!["https://app.example".into()],
            loopback: host.starts_with("127."),
            any: false,
        };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if !origin.is_empty() {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        assert_eq!(origins.check(&headers).is_ok(), passes, "{origin} at {host}");
    }

    #[test]
    fn only_pages_of_the_same_origin_and_named_ones_connect() {
        check("", "chat.example", true);
        check("http://chat.example", "chat.example", true);
        check("https://CHAT.example", "chat.example", true);
        check("https://app.example", "chat.example", true);
        check("https://app.example.", "chat.example", false);
        check("https://app.example.evil.org", "chat.example", false);
        check("http://chat.example:8080", "chat.example", false);
        check("http://sub.chat.example", "chat.example", false);
        check("null", "chat.example", false);
        check("file://", "chat.example", false);
        check("http://localhost:3000", "chat.example", false);
        check("http://localhost:3000", "127.0.0.1:9527", true);
        check("http://[::1]:3000", "127.0.0.1:9527", true);
        check("http://localhost.evil.org", "127.0.0.1:9527", false);
        check("http://evil.org", "127.0.0.1:9527", false);
        check("null", "127.0.0.1:9527", false);
    }
}
