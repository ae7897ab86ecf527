//! `Handshake`: what a client's first request said.

use std::fmt;
use std::net::IpAddr;

use http::{HeaderMap, Uri};

/// The request with which a connection was opened. Kept small, because every connection has one: the names and values
/// of its headers are one piece of text.
pub struct Handshake {
    target: Box<str>,
    /// `name\0value\0` for each header, names in lower case.
    headers: Box<str>,
    address: IpAddr,
    time: u64,
}

impl Handshake {
    pub(super) fn new(uri: &Uri, headers: &HeaderMap, address: IpAddr, time: u64) -> Handshake {
        let mut kept = String::new();
        for (name, value) in headers {
            let Ok(value) = value.to_str() else { continue };
            kept.extend([name.as_str(), "\0", value, "\0"]);
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Handshake { target: target.into(), headers: kept.into(), address, time }
    }

    /// A parameter of the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        self.queries().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// All parameters of the query, decoded, in their order.
    pub fn queries(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).into_owned()
    }

    /// A header's value; its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut parts = self.headers.split('\0');
        while let (Some(found), Some(value)) = (parts.next(), parts.next()) {
            if found.eq_ignore_ascii_case(name) {
                return Some(value);
            }
        }
        None
    }

    /// The client's address, as a proxy on this machine gives it or as the socket has it.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// When it connected, in milliseconds since 1970.
    pub fn time(&self) -> u64 {
        self.time
    }
}

impl fmt::Debug for Handshake {
    /// Without query and headers, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_and_headers_are_found_by_name() {
        let uri: Uri = "/socket.io/?EIO=4&a=%C3%A9+b".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-test", "yes".parse().unwrap());
        headers.insert("cookie", "a=b".parse().unwrap());
        let handshake = Handshake::new(&uri, &headers, [127, 0, 0, 1].into(), 1);
        assert_eq!(handshake.query("a").as_deref(), Some("é b"));
        assert_eq!(handshake.query("b"), None);
        assert_eq!(handshake.header("X-Test"), Some("yes"));
        assert_eq!((handshake.header("cookie"), handshake.header("yes")), (Some("a=b"), None));
    }
}
