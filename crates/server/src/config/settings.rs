//! Settings, checked and ready to use.

use std::borrow::Cow;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use parlor::{ForwardedIn, Limits, Overflow, Overflows, Proxies, Tls};
use parlor_engines::redis;
use tracing_subscriber::filter::Targets;

use super::Wrong;
use super::raw::{Given, Setting};

/// What `parlor serve` was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) engine: EngineKind,
    /// Further origins whose pages may connect.
    pub(crate) origins: Vec<String>,
    /// With a `/` at its end.
    pub(crate) public_url: Option<String>,
    pub(crate) proxies: Proxies,
    /// `None`: plain HTTP.
    pub(crate) tls: Option<Tls>,
    /// How long a client of Socket.IO may be away and still be recovered. `None`: not at all.
    pub(crate) recovery: Option<Duration>,
    /// Whether WebSockets of the chat may be compressed.
    pub(crate) compression: bool,
    /// Which rooms drop messages for slow readers.
    pub(crate) overflows: Overflows,
    /// `None`: one per core.
    pub(crate) workers: Option<usize>,
    /// Bytes. `None`: what the machine or the container has.
    pub(crate) memory: Option<u64>,
    pub(crate) limits: Limits,
    /// What is logged, by the part that says it.
    pub(crate) log: Targets,
}

/// Where publications are kept.
#[derive(Clone, Debug)]
pub(crate) enum EngineKind {
    /// A store in the data directory.
    Embedded,
    /// This process's memory.
    Memory,
    /// A Redis that several nodes may share.
    Redis(redis::Settings),
}

/// More threads than any machine has cores are a slip.
const MAX_WORKERS: usize = 1024;

/// Whoever was away for a day reads the history instead.
const MAX_RECOVERY: u64 = 24 * 60 * 60;

impl Settings {
    /// Checks every value; `all` has each setting of the table.
    pub(super) fn check(all: &[(&'static str, Given)]) -> Result<Self, Wrong> {
        let value = |name: &'static str| Value::find(all, name);
        Ok(Self {
            listen: value("listen").parse("is no address and port", address)?,
            data: value("data")
                .parse("names no directory", |text| (!text.is_empty()).then(|| PathBuf::from(text)))?,
            engine: engine(&value("engine"))?,
            origins: value("origin").each("is no origin: scheme, host and port, without a path", origin)?,
            public_url: value("public_url").optional("is no address of a page", public_url)?,
            proxies: Proxies {
                trusted: value("trusted_proxies").each("is no network", |text| text.parse().ok())?,
                header: value("forwarded_in")
                    .parse("is no header of these: x-forwarded-for, forwarded", forwarded_in)?,
            },
            tls: tls(&value("tls_certificate"), &value("tls_key"))?,
            recovery: value("recovery").optional("is no number of seconds from 1 to 86400", |text| {
                let seconds = text.parse().ok().filter(|number| (1..=MAX_RECOVERY).contains(number))?;
                Some(Duration::from_secs(seconds))
            })?,
            compression: value("compression").parse("is neither true nor false", switch)?,
            overflows: overflows(&value("drop_oldest"), &value("latest_only"))?,
            workers: value("workers").optional("is no number from 1 to 1024", |text| {
                text.parse().ok().filter(|number| (1..=MAX_WORKERS).contains(number))
            })?,
            memory: value("memory").optional("is no number of megabytes from 16 up", |text| {
                let megabytes = text.parse::<u64>().ok().filter(|number| (16..=1 << 24).contains(number))?;
                Some(megabytes << 20)
            })?,
            limits: value("no_limits").parse("is neither true nor false", |text| match switch(text)? {
                true => Some(Limits::Off),
                false => Some(Limits::On),
            })?,
            log: value("log").parse("is no filter", |text| text.parse().ok())?,
        })
    }
}

/// One setting's value on its way to be checked.
struct Value<'a> {
    name: &'static str,
    given: Option<&'a Given>,
}

impl<'a> Value<'a> {
    fn find(all: &'a [(&'static str, Given)], name: &'static str) -> Self {
        Self { name, given: all.iter().find(|row| row.0 == name).map(|row| &row.1) }
    }

    fn texts(&self) -> &'a [String] {
        self.given.map_or(&[], |given| &given.values)
    }

    fn parse<T>(&self, fault: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Wrong> {
        let text = self.texts().last().map_or("", String::as_str);
        parse(text).ok_or_else(|| self.wrong(text, fault))
    }

    fn optional<T>(&self, fault: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Wrong> {
        if self.texts().is_empty() { Ok(None) } else { self.parse(fault, parse).map(Some) }
    }

    fn each<T>(&self, fault: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Wrong> {
        self.texts().iter().map(|text| parse(text).ok_or_else(|| self.wrong(text, fault))).collect()
    }

    fn wrong(&self, text: &str, fault: &str) -> Wrong {
        let source = self.given.map(|given| format!("{}: ", given.source)).unwrap_or_default();
        let example = Setting::find(self.name).map_or("", |setting| setting.example);
        let text = without_login(text);
        Wrong(format!("{source}\"{text}\" {fault}; an example is {example}"))
    }
}

/// An IP address and a port; a name is looked up, so that `localhost:9527` works.
fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| text.to_socket_addrs().ok()?.next())
}

fn engine(value: &Value<'_>) -> Result<EngineKind, Wrong> {
    match value.texts().last().map_or("", String::as_str) {
        "embedded" => Ok(EngineKind::Embedded),
        "memory" => Ok(EngineKind::Memory),
        url if url.contains("://") => redis::Settings::parse(url)
            .map(EngineKind::Redis)
            .map_err(|why| value.wrong(url, &format!("is no engine: {why}"))),
        other => Err(value.wrong(other, "is no engine; there are embedded, memory and redis://…")),
    }
}

/// A value as it may be shown: the user and password of a URL stay out of screens and logs.
pub(crate) fn without_login(text: &str) -> Cow<'_, str> {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (_, place))) => format!("{scheme}://…@{place}").into(),
        None => text.into(),
    }
}

fn overflows(drop_oldest: &Value<'_>, latest_only: &Value<'_>) -> Result<Overflows, Wrong> {
    let mut overflows = Overflows::default();
    for (value, overflow) in [(drop_oldest, Overflow::DropOldest), (latest_only, Overflow::LatestOnly)] {
        let fault = "names no rooms: a name, or its beginning and one * at the end";
        for rooms in value.each(fault, |text| text.parse().ok())? {
            overflows.set(rooms, overflow);
        }
    }
    Ok(overflows)
}

/// Both files, or neither.
fn tls(certificate: &Value<'_>, key: &Value<'_>) -> Result<Option<Tls>, Wrong> {
    let path = |value: &Value<'_>| value.optional("names no file", |text| Some(PathBuf::from(text)));
    match (path(certificate)?, path(key)?) {
        (Some(certificate), Some(key)) => Ok(Some(Tls { certificate, key })),
        (None, None) => Ok(None),
        (Some(file), None) => Err(key.wrong(&file.display().to_string(), "needs tls_key beside it")),
        (None, Some(file)) => {
            Err(certificate.wrong(&file.display().to_string(), "needs tls_certificate beside it"))
        }
    }
}

/// A browser's `Origin` header has neither path nor trailing slash; a slash that was copied along is forgiven.
fn origin(text: &str) -> Option<String> {
    let origin = text.strip_suffix('/').unwrap_or(text);
    let (scheme, host) = origin.split_once("://")?;
    let plain =
        matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', '?', '#', ' ', '@']);
    plain.then(|| origin.to_lowercase())
}

/// A page's address; the path is where a proxy puts Parlor.
fn public_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let folder = if path.is_empty() || path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
    let plain = !path.contains(['?', '#', ' ']);
    plain.then_some(())?;
    Some(format!("{}/{folder}", origin(&format!("{scheme}://{host}"))?))
}

fn forwarded_in(text: &str) -> Option<ForwardedIn> {
    match text.to_lowercase().as_str() {
        "x-forwarded-for" => Some(ForwardedIn::XForwardedFor),
        "forwarded" => Some(ForwardedIn::Forwarded),
        _ => None,
    }
}

fn switch(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" | "" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, load, raw::Source};
    use super::*;

    fn with(name: &'static str, value: &str) -> Result<Settings, String> {
        let given = Given { values: vec![value.to_owned()], source: Source::Flag(name.to_owned()) };
        let flags = Flags([(name, given)].into());
        // A directory without a file: only the flag counts.
        load(None, [], flags.0).map(|loaded| loaded.settings).map_err(|wrong| wrong.0)
    }

    #[test]
    fn values_are_checked_and_a_wrong_one_is_shown_a_right_one() {
        assert_eq!(with("listen", "0.0.0.0:0").unwrap().listen.port(), 0);
        assert_eq!(with("listen", "[::1]:9").unwrap().listen.port(), 9);
        assert!(matches!(with("engine", "memory").unwrap().engine, EngineKind::Memory));
        assert!(matches!(
            with("engine", "redis://:secret@h:7000/1?ack=local").unwrap().engine,
            EngineKind::Redis(_)
        ));
        assert_eq!(with("origin", "https://App.example/").unwrap().origins, ["https://app.example"]);
        for (url, expected) in [
            ("https://Chat.example", "https://chat.example/"),
            ("https://chat.example:8443/Chat", "https://chat.example:8443/Chat/"),
            ("http://10.0.0.1/a/b/", "http://10.0.0.1/a/b/"),
        ] {
            assert_eq!(with("public_url", url).unwrap().public_url.as_deref(), Some(expected));
        }
        let networks = with("trusted_proxies", "10.0.0.0/8").unwrap().proxies.trusted;
        assert_eq!(networks, ["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(with("forwarded_in", "Forwarded").unwrap().proxies.header, ForwardedIn::Forwarded);
        assert_eq!(with("recovery", "120").unwrap().recovery, Some(Duration::from_secs(120)));
        assert!(with("compression", "on").unwrap().compression);
        let ticks = with("latest_only", "ticks:*").unwrap().overflows;
        assert_eq!(ticks.of("ticks:gold"), Overflow::LatestOnly);
        assert_eq!(with("workers", "3").unwrap().workers, Some(3));
        assert_eq!(with("memory", "64").unwrap().memory, Some(64 << 20));
        assert_eq!(with("no_limits", "on").unwrap().limits, Limits::Off);
        assert_eq!(with("data", "x").unwrap().data, PathBuf::from("x"));
        for (name, value, expected) in [
            (
                "listen",
                "9527",
                "--listen: \"9527\" is no address and port; an example is listen = \"0.0.0.0:9527\"",
            ),
            (
                "engine",
                "sqlite",
                "--engine: \"sqlite\" is no engine; there are embedded, memory and redis://…; an example is engine = \"redis://127.0.0.1:6379\"",
            ),
            (
                "engine",
                "redis://:secret@h/x",
                "--engine: \"redis://…@h/x\" is no engine: behind the slash stands the database's number; an example is engine = \"redis://127.0.0.1:6379\"",
            ),
            (
                "engine",
                "redis://:secret@h?ack=replicated",
                "--engine: \"redis://…@h?ack=replicated\" is no engine: ack is memory or local; an example is engine = \"redis://127.0.0.1:6379\"",
            ),
            (
                "origin",
                "app.example",
                "--origin: \"app.example\" is no origin: scheme, host and port, without a path; an example is origin = [\"https://app.example\"]",
            ),
            (
                "public_url",
                "https://a/?b",
                "--public_url: \"https://a/?b\" is no address of a page; an example is public_url = \"https://chat.example/\"",
            ),
            (
                "trusted_proxies",
                "10.0.0.1/40",
                "--trusted_proxies: \"10.0.0.1/40\" is no network; an example is trusted_proxies = [\"10.0.0.0/8\"]",
            ),
            (
                "forwarded_in",
                "x-real-ip",
                "--forwarded_in: \"x-real-ip\" is no header of these: x-forwarded-for, forwarded; an example is forwarded_in = \"forwarded\"",
            ),
            (
                "drop_oldest",
                "a*b",
                "--drop_oldest: \"a*b\" names no rooms: a name, or its beginning and one * at the end; an example is drop_oldest = [\"ticks:*\"]",
            ),
            (
                "memory",
                "2G",
                "--memory: \"2G\" is no number of megabytes from 16 up; an example is memory = 2048",
            ),
            (
                "recovery",
                "2m",
                "--recovery: \"2m\" is no number of seconds from 1 to 86400; an example is recovery = 120",
            ),
            ("workers", "0", "--workers: \"0\" is no number from 1 to 1024; an example is workers = 4"),
            (
                "no_limits",
                "maybe",
                "--no_limits: \"maybe\" is neither true nor false; an example is no_limits = true",
            ),
            ("log", "a=b=c", "--log: \"a=b=c\" is no filter; an example is log = \"warn,parlor_net=debug\""),
        ] {
            assert_eq!(with(name, value).unwrap_err(), expected);
        }
    }
}
