//! A page for those who ask without an upgrade.

/// The whole answer with a page whose own scripts and styles run, and nothing else (CSP level 3, section 2.3.1): those in
/// plain `<script>` and `<style>` tags. They are known by `nonce`, which must be new for each answer and
/// hard to guess.
pub fn page(html: &str, nonce: u64) -> Vec<u8> {
    let named =
        |tag: &str, html: String| html.replace(&format!("<{tag}>"), &format!("<{tag} nonce=\"{nonce}\">"));
    let html = named("script", named("style", html.to_owned()));
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
         X-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'; script-src 'nonce-{nonce}'; \
         style-src 'nonce-{nonce}'; connect-src 'self' ws: wss:; img-src data:; base-uri 'none'\r\n\r\n",
        html.len()
    );
    (head + &html).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_and_names_its_own_scripts_and_styles() {
        let answer = String::from_utf8(page("<style>a</style><script>é</script>", 7)).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "<style nonce=\"7\">a</style><script nonce=\"7\">é</script>");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(head.contains("default-src 'none'; script-src 'nonce-7'; style-src 'nonce-7';"), "{head}");
    }
}
