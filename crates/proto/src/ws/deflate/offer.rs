//! Negotiating permessage-deflate (RFC 7692 sections 5 and 7.1): offers, the server's choice, the client's check.

use std::fmt;

use super::{Agreement, MAX_BITS, MIN_BITS, NAME, SHARED_BITS};

/// One element of a client's `Sec-WebSocket-Extensions` that offers permessage-deflate. Displayed, it is that element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    pub server_no_context_takeover: bool,
    pub client_no_context_takeover: bool,
    pub server_max_window_bits: Option<u8>,
    /// `Some(None)`: the client can keep to a smaller window and leaves its size to the server.
    pub client_max_window_bits: Option<Option<u8>>,
}

/// What a server wants of compression.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Compress every message on its own: costs ratio, saves up to 256 KB per connection, and lets one compressed
    /// frame go to many.
    pub server_no_context_takeover: bool,
    /// Ask the same of the client; it saves us 32 KB and more per connection.
    pub client_no_context_takeover: bool,
    /// Our own window, 9 to 15 bits; what the client asks for can only make it smaller.
    pub server_max_window_bits: u8,
    /// The client's window, 8 to 15 bits, if the client lets us choose.
    pub client_max_window_bits: u8,
}

/// No memory between messages, and windows of 4 KB: chat messages are shorter than that.
impl Default for Settings {
    fn default() -> Settings {
        Settings {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: SHARED_BITS,
            client_max_window_bits: 12,
        }
    }
}

/// The permessage-deflate offers in one `Sec-WebSocket-Extensions` value, in the client's order of preference.
///
/// An offer with an unknown, doubled or ill-formed parameter is left out: the server must decline it
/// (RFC 7692 section 7.1). Other extensions are skipped. At most 16 elements are looked at.
pub fn parse_offers(value: &str) -> impl Iterator<Item = Offer> + '_ {
    elements(value).take(16).filter_map(|element| Parameters::parse(element)?.offer())
}

/// The first offer that can be accepted, and what is answered to it.
pub fn accept(offers: &[Offer], settings: &Settings) -> Option<Agreement> {
    offers.first().map(|offer| {
        let client_window = match offer.client_max_window_bits {
            // Section 7.1.2.2: without the parameter in the offer, the client's window cannot be limited.
            None => MAX_BITS,
            Some(limit) => {
                limit.unwrap_or(MAX_BITS).min(settings.client_max_window_bits.clamp(MIN_BITS, MAX_BITS))
            }
        };
        let server_window = offer.server_max_window_bits.unwrap_or(MAX_BITS);
        Agreement {
            server_no_context_takeover: offer.server_no_context_takeover
                || settings.server_no_context_takeover,
            client_no_context_takeover: offer.client_no_context_takeover
                || settings.client_no_context_takeover,
            server_max_window_bits: server_window
                .min(settings.server_max_window_bits.clamp(MIN_BITS, MAX_BITS)),
            client_max_window_bits: client_window,
        }
    })
}

/// What a server's `Sec-WebSocket-Extensions` agrees to, checked by the client against its offer. `Err` means that
/// the client must fail the connection (section 7.1): something was not offered, or is ill-formed.
pub fn check_response(offer: &Offer, value: &str) -> Result<Agreement, BadResponse> {
    let mut elements = elements(value);
    let (Some(element), None) = (elements.next(), elements.next()) else { return Err(BadResponse) };
    let given = Parameters::parse(element).ok_or(BadResponse)?;
    // In a response, a window always has a size; one for the client only if the client said that it can.
    let client_window = match (offer.client_max_window_bits, given.client_max_window_bits) {
        (None, Some(_)) | (_, Some(None)) => return Err(BadResponse),
        (Some(limit), Some(Some(bits))) if bits > limit.unwrap_or(MAX_BITS) => return Err(BadResponse),
        (limit, None) => limit.flatten().unwrap_or(MAX_BITS),
        (_, Some(Some(bits))) => bits,
    };
    let server_window = match (offer.server_max_window_bits, given.server_max_window_bits) {
        (_, Some(None)) => return Err(BadResponse),
        (Some(limit), Some(Some(bits))) if bits > limit => return Err(BadResponse),
        (Some(_), None) => return Err(BadResponse),
        (_, bits) => bits.flatten().unwrap_or(MAX_BITS),
    };
    if offer.server_no_context_takeover && !given.server_no_context_takeover {
        return Err(BadResponse);
    }
    Ok(Agreement {
        server_no_context_takeover: given.server_no_context_takeover,
        client_no_context_takeover: given.client_no_context_takeover || offer.client_no_context_takeover,
        server_max_window_bits: server_window,
        client_max_window_bits: client_window,
    })
}

/// The server answered with an extension or a parameter that it must not answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadResponse;

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        match self.client_max_window_bits {
            None => Ok(()),
            Some(None) => f.write_str("; client_max_window_bits"),
            Some(Some(bits)) => write!(f, "; client_max_window_bits={bits}"),
        }
    }
}

/// Parameters as written, in an offer or a response.
#[derive(Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<Option<u8>>,
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// `None` if the element is another extension or breaks the rules of section 7.1.
    fn parse(element: &str) -> Option<Parameters> {
        let mut parts = element.split(';').map(|part| part.trim_matches(BLANK));
        if !parts.next()?.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut found = Parameters::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end_matches(BLANK), Some(value.trim_start_matches(BLANK))),
                None => (part, None),
            };
            let doubled = match (name.to_ascii_lowercase().as_str(), value) {
                ("server_no_context_takeover", None) => {
                    std::mem::replace(&mut found.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    std::mem::replace(&mut found.client_no_context_takeover, true)
                }
                ("server_max_window_bits", value) => {
                    found.server_max_window_bits.replace(window_bits(value)?).is_some()
                }
                ("client_max_window_bits", value) => {
                    found.client_max_window_bits.replace(window_bits(value)?).is_some()
                }
                _ => return None,
            };
            if doubled {
                return None;
            }
        }
        Some(found)
    }

    fn offer(self) -> Option<Offer> {
        Some(Offer {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            // Section 7.1.2.1: for the server's window an offer must name a size.
            server_max_window_bits: match self.server_max_window_bits {
                Some(None) => return None,
                bits => bits.flatten(),
            },
            client_max_window_bits: self.client_max_window_bits,
        })
    }
}

/// `Some(None)` without a value; `None` if it is not a number from 8 to 15 without leading zeros, quoted or not.
fn window_bits(value: Option<&str>) -> Option<Option<u8>> {
    let Some(value) = value else { return Some(None) };
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let bits = match value.as_bytes() {
        [digit @ b'8'..=b'9'] => digit - b'0',
        [b'1', digit @ b'0'..=b'5'] => 10 + digit - b'0',
        _ => return None,
    };
    Some(Some(bits))
}

/// The elements of a comma-separated list, without the empty ones that RFC 9110 section 5.6.1 tolerates. No value
/// that is right for permessage-deflate contains a comma in quotes, so quotes need no care here: an element that is
/// cut in two is wrong either way.
fn elements(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|element| element.trim_matches(BLANK)).filter(|element| !element.is_empty())
}

const BLANK: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(value: &str) -> Vec<String> {
        parse_offers(value).map(|offer| offer.to_string()).collect()
    }

    #[test]
    fn offers_are_read_in_order_and_bad_ones_left_out() {
        fn check(value: &str, expected: &[&str]) {
            assert_eq!(offers(value), expected, "{value}");
        }
        check("permessage-deflate", &["permessage-deflate"]);
        check(
            "Permessage-Deflate ;  Client_Max_Window_Bits",
            &["permessage-deflate; client_max_window_bits"],
        );
        check(
            "permessage-deflate; server_max_window_bits=10 , permessage-deflate",
            &["permessage-deflate; server_max_window_bits=10", "permessage-deflate"],
        );
        check(
            "permessage-deflate; client_max_window_bits=\"8\"; server_no_context_takeover; client_no_context_takeover",
            &[
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=8",
            ],
        );
        check(
            "x-webkit-deflate-frame, bbf-usp-protocol; eid=\"a,b\", permessage-deflate",
            &["permessage-deflate"],
        );
        check("", &[]);
        check(" , ,", &[]);
        for bad in [
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=",
            "server_max_window_bits=\"9",
            "client_max_window_bits=7",
            "client_max_window_bits=9; client_max_window_bits=9",
            "server_no_context_takeover=1",
            "server_no_context_takeover; server_no_context_takeover",
            "unknown",
            "",
        ] {
            check(&format!("permessage-deflate; {bad}"), &[]);
        }
    }

    #[test]
    fn the_answer_meets_the_offer_and_the_settings() {
        let open = Settings {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        };
        fn check(settings: &Settings, offer: &str, expected: &str) {
            let found: Vec<Offer> = parse_offers(offer).collect();
            assert_eq!(
                accept(&found, settings).map(|agreement| agreement.to_string()).as_deref(),
                Some(expected)
            );
        }
        check(&open, "permessage-deflate", "permessage-deflate; server_max_window_bits=15");
        check(
            &open,
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=15",
        );
        check(
            &open,
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
        );
        check(
            &open,
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15",
        );
        let small = Settings::default();
        check(
            &small,
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; \
             client_max_window_bits=12",
        );
        check(
            &small,
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8",
        );
        assert_eq!(accept(&[], &small), None);
    }

    #[test]
    fn a_client_takes_only_what_it_offered() {
        fn check(offer: &str, response: &str, expected: Option<&str>) {
            let offer = parse_offers(offer).next().unwrap();
            let found = check_response(&offer, response).ok().map(|agreement| agreement.to_string());
            assert_eq!(found.as_deref(), expected, "{offer} -> {response}");
        }
        let plain = "permessage-deflate";
        let agreed = "permessage-deflate; server_max_window_bits=15";
        check(plain, plain, Some(agreed));
        check(plain, agreed, Some(agreed));
        check(plain, "", None);
        check(plain, "permessage-bzip2", None);
        check(plain, "permessage-deflate, permessage-deflate", None);
        check(plain, "permessage-deflate; client_max_window_bits=10", None);
        check(
            plain,
            "permessage-deflate; server_max_window_bits=10",
            Some("permessage-deflate; server_max_window_bits=10"),
        );
        check(plain, "permessage-deflate; server_max_window_bits", None);
        check(
            plain,
            "permessage-deflate; client_no_context_takeover",
            Some("permessage-deflate; client_no_context_takeover; server_max_window_bits=15"),
        );
        check(plain, "permessage-deflate; what=1", None);
        let windows = "permessage-deflate; client_max_window_bits=12; server_max_window_bits=10";
        check(windows, "permessage-deflate", None);
        check(windows, "permessage-deflate; server_max_window_bits=11", None);
        check(
            windows,
            "permessage-deflate; server_max_window_bits=9",
            Some("permessage-deflate; server_max_window_bits=9; client_max_window_bits=12"),
        );
        check(windows, "permessage-deflate; server_max_window_bits=9; client_max_window_bits=13", None);
        check(
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits",
            None,
        );
        check("permessage-deflate; server_no_context_takeover", "permessage-deflate", None);
    }

    #[test]
    fn sixty_four_kilobytes_of_separators_are_read_in_one_pass() {
        for filler in [",", " ", ";", "\"", "=", "permessage-deflate,", "a;"] {
            let value = filler.repeat(64 * 1024 / filler.len());
            assert!(parse_offers(&value).count() <= 16);
        }
    }
}
