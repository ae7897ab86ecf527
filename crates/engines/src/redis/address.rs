//! `Address`: where a Redis server is and who one is there, from a URL; its secrets are never shown.

use std::fmt;

use percent_encoding::percent_decode_str;

/// `redis://[user[:password]@]host[:port][/database]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub database: u32,
}

impl Address {
    /// The address, and what stands behind a question mark.
    ///
    /// # Errors
    /// A sentence that says how it would be right, without anything of the URL, which may hold a password.
    pub(super) fn parse(url: &str) -> Result<(Address, &str), String> {
        let Some(rest) = url.strip_prefix("redis://") else {
            let why = match url.split_once("://").map(|(scheme, _)| scheme) {
                Some("rediss") => "TLS to Redis is not in this version: use redis:// through a tunnel",
                _ => "an address of Redis begins with redis://",
            };
            return Err(why.to_owned());
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (rest, database) = rest.split_once('/').unwrap_or((rest, ""));
        let database = match database {
            "" => 0,
            number => {
                number.parse().map_err(|_| "behind the slash stands the database's number".to_owned())?
            }
        };
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = match place.rsplit_once(':') {
            // An IPv6 address stands in brackets, and its last colon may be inside them.
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| "behind the last colon stands the port".to_owned())?)
            }
            _ => (place, 6379),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("the host is missing: redis://127.0.0.1:6379".to_owned());
        }
        let text = |part: &str| match part {
            "" => Ok(None),
            part => percent_decode_str(part)
                .decode_utf8()
                .map(|text| Some(text.into_owned()))
                .map_err(|_| "user and password are percent-encoded UTF-8".to_owned()),
        };
        let address =
            Address { host: host.to_owned(), port, user: text(user)?, password: text(password)?, database };
        Ok((address, query))
    }
}

impl fmt::Display for Address {
    /// Without user and password: this is what logs and start-up texts show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "redis://[{}]:{}", self.host, self.port)?,
            false => write!(f, "redis://{}:{}", self.host, self.port)?,
        }
        match self.database {
            0 => Ok(()),
            database => write!(f, "/{database}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, shown: &str, user: Option<&str>, password: Option<&str>) {
        let (address, _) = Address::parse(url).unwrap();
        assert_eq!(address.to_string(), shown);
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (user, password), "{url}");
        assert_eq!(format!("{address:?}"), format!("Address({shown})"));
    }

    #[test]
    fn a_url_is_read_and_its_secrets_are_not_shown() {
        check("redis://h", "redis://h:6379", None, None);
        check("redis://127.0.0.1:7000/3?x", "redis://127.0.0.1:7000/3", None, None);
        check("redis://[::1]:7000", "redis://[::1]:7000", None, None);
        check("redis://[::1]", "redis://[::1]:6379", None, None);
        check("redis://:p%40ss@h", "redis://h:6379", None, Some("p@ss"));
        check("redis://bob:a:b@h:1/0", "redis://h:1", Some("bob"), Some("a:b"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_url() {
        for (url, expected) in [
            ("rediss://h", "TLS to Redis is not in this version: use redis:// through a tunnel"),
            ("http://h", "an address of Redis begins with redis://"),
            ("redis://", "the host is missing: redis://127.0.0.1:6379"),
            ("redis://h:x", "behind the last colon stands the port"),
            ("redis://h/x", "behind the slash stands the database's number"),
            ("redis://:%FF@h", "user and password are percent-encoded UTF-8"),
        ] {
            assert_eq!(Address::parse(url).unwrap_err(), expected);
        }
    }
}
