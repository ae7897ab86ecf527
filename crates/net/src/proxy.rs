//! Who a client is when a proxy speaks for it: which proxies are believed, and in which header they say it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The proxies in front of this server.
///
/// Limits count for each client's address. Behind a proxy that is the one that the proxy names, and only a proxy that is
/// trusted is asked: anybody could write the header.
#[derive(Clone, Debug)]
pub struct Proxies {
    /// Networks whose word on their clients counts.
    pub trusted: Vec<IpNet>,
    /// Where they say it. Only this header is read: the other one may have come from the client itself.
    pub header: ForwardedIn,
}

/// The header in which a proxy names its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedIn {
    /// `X-Forwarded-For`, as nginx, HAProxy and most others write it.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Default for Proxies {
    /// Proxies on this machine, with `X-Forwarded-For`.
    fn default() -> Proxies {
        let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        let v6 = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);
        Proxies { trusted: vec![v4.into(), v6.into()], header: ForwardedIn::XForwardedFor }
    }
}

impl Proxies {
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// The address of the client behind `peer`: the last one in the chain that no trusted proxy has.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let name = match self.header {
            ForwardedIn::XForwardedFor => "x-forwarded-for",
            ForwardedIn::Forwarded => FORWARDED.as_str(),
        };
        let mut client = peer;
        // Each proxy writes behind those before it, so the chain is read from its end.
        let chain = headers.get_all(name).iter().rev().filter_map(|value| value.to_str().ok());
        for hop in chain.flat_map(|value| value.rsplit(',')) {
            if !self.trusts(client) {
                break;
            }
            let said = match self.header {
                ForwardedIn::XForwardedFor => hop,
                ForwardedIn::Forwarded => node(hop),
            };
            // A proxy that does not tell, or hides it, is the last one known.
            let Some(address) = address(said) else { break };
            client = address;
        }
        client
    }
}

/// The `for` of one element of `Forwarded`, as in `for="[2001:db8::1]:4711";proto=https` (RFC 7239 section 4).
fn node(element: &str) -> &str {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut nodes = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    nodes.next().map_or("", |(_, node)| node.trim().trim_matches('"'))
}

/// An address with or without a port, as both headers may have it.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: ForwardedIn, peer: &str, lines: &[(&'static str, &str)], expected: &str) {
        let mut proxies = Proxies { header, ..Proxies::default() };
        proxies.trusted.push("10.0.0.0/8".parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let client = proxies.client(peer.parse().unwrap(), &headers);
        assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} with {lines:?}");
    }

    #[test]
    fn a_trusted_proxy_names_its_client_and_nobody_else_does() {
        let check = |peer, lines, expected| check(ForwardedIn::XForwardedFor, peer, lines, expected);
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &[("x-forwarded-for", "203.0.113.7")], "203.0.113.7");
        check("::ffff:127.0.0.1", &[("x-forwarded-for", "203.0.113.7")], "203.0.113.7");
        check("203.0.113.9", &[("x-forwarded-for", "203.0.113.7")], "203.0.113.9");
        // What the client wrote itself stands in front of what the proxy added.
        check("127.0.0.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.7")], "203.0.113.7");
        check(
            "127.0.0.1",
            &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.7")],
            "203.0.113.7",
        );
        // Two proxies, both trusted.
        check("127.0.0.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.7, 10.0.0.3")], "203.0.113.7");
        check("127.0.0.1", &[("x-forwarded-for", "203.0.113.7:4711")], "203.0.113.7");
        check("127.0.0.1", &[("x-forwarded-for", "[2001:db8::1]:4711")], "2001:db8::1");
        check("127.0.0.1", &[("x-forwarded-for", "2001:db8::1")], "2001:db8::1");
        check("127.0.0.1", &[("x-forwarded-for", "nonsense")], "127.0.0.1");
        check("127.0.0.1", &[("x-forwarded-for", "1.1.1.1, unknown, 10.0.0.3")], "10.0.0.3");
        check("127.0.0.1", &[("forwarded", "for=203.0.113.7")], "127.0.0.1");
    }

    #[test]
    fn the_standard_header_is_read_where_it_is_asked_for() {
        let check = |peer, lines, expected| check(ForwardedIn::Forwarded, peer, lines, expected);
        check("127.0.0.1", &[("forwarded", "for=203.0.113.7")], "203.0.113.7");
        check("127.0.0.1", &[("forwarded", "proto=https; For=\"[2001:db8::1]:4711\"")], "2001:db8::1");
        check("127.0.0.1", &[("forwarded", "for=1.1.1.1, for=203.0.113.7;by=10.0.0.3")], "203.0.113.7");
        check("127.0.0.1", &[("forwarded", "for=_hidden")], "127.0.0.1");
        check("127.0.0.1", &[("forwarded", "by=10.0.0.3")], "127.0.0.1");
        check("127.0.0.1", &[("x-forwarded-for", "203.0.113.7")], "127.0.0.1");
        check("203.0.113.9", &[("forwarded", "for=203.0.113.7")], "203.0.113.9");
    }
}
