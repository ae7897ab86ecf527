//! Settings as they are written: the table of all names, and what one source says.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use clap::{Arg, ArgAction, ArgMatches, Command};

/// One setting. `parlor serve` takes it as `--name`, the environment as `PARLOR_NAME`, the file as `name = …`.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(super) kind: Kind,
    /// As TOML; empty where the machine decides.
    pub(super) default: &'static str,
    /// A correct line for the file, for messages and `print-defaults`.
    pub(super) example: &'static str,
    /// What it does, and why the default is what it is.
    pub(super) help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    /// Given several times as a flag, comma-separated in the environment, an array in the file.
    List,
    Switch,
}

/// All settings, in the order in which people need them.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: "listen",
        kind: Kind::Text,
        default: "\"127.0.0.1:9527\"",
        example: "listen = \"0.0.0.0:9527\"",
        help: "Where to listen. 127.0.0.1 is this machine only, 0.0.0.0 lets others in your network in; port 0 picks a free one",
    },
    Setting {
        name: "data",
        kind: Kind::Text,
        default: "\"./parlor-data\"",
        example: "data = \"/var/lib/parlor\"",
        help: "The directory for messages, accounts and the API key. One process at a time may use it",
    },
    Setting {
        name: "engine",
        kind: Kind::Text,
        default: "\"embedded\"",
        example: "engine = \"redis://127.0.0.1:6379\"",
        help: "What keeps the messages: embedded (a store in the data directory), memory (gone when the process ends) or redis://… (several nodes are one server; docs/redis.md)",
    },
    Setting {
        name: "origin",
        kind: Kind::List,
        default: "[]",
        example: "origin = [\"https://app.example\"]",
        help: "Pages of these origins may connect besides Parlor's own; may be repeated",
    },
    Setting {
        name: "public_url",
        kind: Kind::Text,
        default: "",
        example: "public_url = \"https://chat.example/\"",
        help: "Where people find this Parlor if a proxy stands in front of it: its pages may connect, and invitations name it",
    },
    Setting {
        name: "trusted_proxies",
        kind: Kind::List,
        default: "[\"127.0.0.0/8\", \"::1/128\"]",
        example: "trusted_proxies = [\"10.0.0.0/8\"]",
        help: "Proxies in these networks are believed when they name their clients; limits count for those then. A list takes the place of the default",
    },
    Setting {
        name: "forwarded_in",
        kind: Kind::Text,
        default: "\"x-forwarded-for\"",
        example: "forwarded_in = \"forwarded\"",
        help: "The header in which they do: x-forwarded-for, or forwarded (RFC 7239). The other one is not read, because clients can write it too",
    },
    Setting {
        name: "tls_certificate",
        kind: Kind::Text,
        default: "",
        example: "tls_certificate = \"/etc/letsencrypt/live/chat.example/fullchain.pem\"",
        help: "The certificate for https, with those that lead to a known authority; read again when it changes. Needs tls_key",
    },
    Setting {
        name: "tls_key",
        kind: Kind::Text,
        default: "",
        example: "tls_key = \"/etc/letsencrypt/live/chat.example/privkey.pem\"",
        help: "The certificate's private key",
    },
    Setting {
        name: "recovery",
        kind: Kind::Number,
        default: "",
        example: "recovery = 120",
        help: "Seconds for which a Socket.IO client may be away and is then given what it missed (connection state recovery); off if it is not given, because it adds an argument to every event",
    },
    Setting {
        name: "compression",
        kind: Kind::Switch,
        default: "false",
        example: "compression = true",
        help: "Agree to permessage-deflate with clients of /ws that offer it, as browsers do. A message of 1 KB or more is compressed once for all of them; short ones gain nothing, and each one costs CPU, so it is off",
    },
    Setting {
        name: "drop_oldest",
        kind: Kind::List,
        default: "[]",
        example: "drop_oldest = [\"ticks:*\"]",
        help: "Rooms in which a reader who is too slow misses the oldest messages and is told how many, where others cut it: a name, or the beginning of names and a *; may be repeated",
    },
    Setting {
        name: "latest_only",
        kind: Kind::List,
        default: "[]",
        example: "latest_only = [\"price:*\"]",
        help: "Rooms of which only the newest message waits for whoever is not reading at the moment, for values that replace each other; where both lists fit the longer name counts",
    },
    Setting {
        name: "workers",
        kind: Kind::Number,
        default: "",
        example: "workers = 4",
        help: "Threads that serve connections; one per core if it is not given",
    },
    Setting {
        name: "memory",
        kind: Kind::Number,
        default: "",
        example: "memory = 2048",
        help: "Megabytes that may be used; what the machine or the container has if it is not given. At 80 % new connections are refused, at 90 % the slowest readers are cut",
    },
    Setting {
        name: "no_limits",
        kind: Kind::Switch,
        default: "false",
        example: "no_limits = true",
        help: "Lift the limits on rates and connections, for benchmarks. Limits on sizes stay",
    },
    Setting {
        name: "log",
        kind: Kind::Text,
        default: "\"info\"",
        example: "log = \"warn,parlor_net=debug\"",
        help: "What is logged to stderr: error, warn, info, debug or trace, for all or for parts",
    },
];

impl Setting {
    pub(crate) fn find(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    pub(super) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    pub(super) fn variable(&self) -> String {
        format!("PARLOR_{}", self.name.to_uppercase())
    }
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(String),
    Variable(String),
    /// The file, and the line if it is known.
    File(String, Option<usize>),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(flag) => write!(f, "--{flag}"),
            Source::Variable(name) => f.write_str(name),
            Source::File(path, Some(line)) => write!(f, "{path} line {line}"),
            Source::File(path, None) => f.write_str(path),
            Source::Default => f.write_str("default"),
        }
    }
}

/// A value, still text; several for a list, none for an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) values: Vec<String>,
    pub(crate) source: Source,
}

/// What was written, by name.
pub(crate) type Raw = BTreeMap<&'static str, Given>;

/// The settings' flags on the command line, made from the table.
#[derive(Debug)]
pub(crate) struct Flags(pub(crate) Raw);

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        SETTINGS.iter().fold(command, |command, setting| command.arg(flag(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut raw = Raw::new();
        for setting in SETTINGS {
            let values = match setting.kind {
                Kind::Switch => matches.get_flag(setting.name).then(|| vec!["true".to_owned()]),
                _ => matches.get_many::<String>(setting.name).map(|values| values.cloned().collect()),
            };
            if let Some(values) = values {
                raw.insert(setting.name, Given { values, source: Source::Flag(setting.flag()) });
            }
        }
        Ok(Self(raw))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(setting: &Setting) -> Arg {
    let default = setting.default.trim_matches('"');
    let known = if default.is_empty() || setting.kind == Kind::List || setting.kind == Kind::Switch {
        format!("[env: {}]", setting.variable())
    } else {
        format!("[env: {}] [default: {default}]", setting.variable())
    };
    let arg = Arg::new(setting.name).long(setting.flag()).help(format!("{} {known}", setting.help));
    match setting.kind {
        Kind::Switch => arg.action(ArgAction::SetTrue),
        Kind::List => arg.action(ArgAction::Append).value_name(match setting.name {
            "trusted_proxies" => "NETWORK",
            "drop_oldest" | "latest_only" => "ROOMS",
            _ => "URL",
        }),
        Kind::Number => arg.action(ArgAction::Set).value_name("NUMBER"),
        Kind::Text => arg.action(ArgAction::Set).value_name(match setting.name {
            "listen" => "ADDRESS",
            "data" => "DIRECTORY",
            "log" => "FILTER",
            "public_url" => "URL",
            "tls_certificate" | "tls_key" => "FILE",
            _ => "NAME",
        }),
    }
}

/// A file with every setting at its default and the reason beside it; it can be loaded as it is.
pub(crate) fn print_defaults() -> String {
    let mut text = String::from(
        "# Parlor's settings at their defaults. Save this as parlor.toml and change what you need; the same names\n\
         # work as flags (--listen) and in the environment (PARLOR_LISTEN), which win over this file in this order.\n",
    );
    for setting in SETTINGS {
        let line = match setting.default {
            "" => format!("# {}", setting.example),
            default => format!("{} = {default}", setting.name),
        };
        // A String takes every text.
        let _ = write!(text, "\n# {}.\n{line}\n", setting.help);
    }
    text
}
