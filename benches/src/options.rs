//! The options of `cargo xtask bench`.

use anyhow::{Context as _, Result, bail};

pub(crate) const USAGE: &str = "\
usage: cargo xtask bench [OPTION…]

  --quick             the raw limit and Parlor only, built without fat LTO: a minute or two, for tuning
  --only A,B          these servers only (the raw limit is always there); --list names them
  --scenario A,B      these scenarios only; --list names them
  --pairs N           turns of each server in a duel (5)
  --seconds S         length of a turn (1)
  --subscribers N     subscribers of the fan-out room (1000)
  --connections N     idle connections (10000)
  --frame-bytes N     payload of the raw limit's frame (128), to compare at the wire size of an envelope
  --no-save           do not write results
  --list              the servers and the scenarios
";

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) only: Vec<String>,
    pub(crate) scenarios: Vec<String>,
    pub(crate) pairs: usize,
    pub(crate) seconds: f64,
    pub(crate) subscribers: usize,
    pub(crate) connections: usize,
    pub(crate) frame_bytes: usize,
    pub(crate) save: bool,
    pub(crate) list: bool,
    pub(crate) help: bool,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Options {
            quick: false,
            only: Vec::new(),
            scenarios: Vec::new(),
            pairs: 5,
            seconds: 1.0,
            subscribers: 1000,
            connections: 10_000,
            frame_bytes: 128,
            save: true,
            list: false,
            help: false,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            let number = |text: &String| text.parse::<usize>().with_context(|| format!("{arg}: `{text}`"));
            match arg.as_str() {
                "--quick" => {
                    options.quick = true;
                    options.seconds = 0.5;
                    options.save = false;
                }
                "--only" => options.only = list(value()?),
                "--scenario" => options.scenarios = list(value()?),
                "--pairs" => options.pairs = number(value()?)?.max(1),
                "--seconds" => options.seconds = value()?.parse().context("--seconds")?,
                "--subscribers" => options.subscribers = number(value()?)?.max(1),
                "--connections" => options.connections = number(value()?)?.max(1),
                "--frame-bytes" => options.frame_bytes = number(value()?)?.max(11),
                "--no-save" => options.save = false,
                "--list" => options.list = true,
                "--help" | "-h" => options.help = true,
                other => bail!("unknown option `{other}`\n\n{USAGE}"),
            }
        }
        Ok(options)
    }

    pub(crate) fn wants_server(&self, name: &str) -> bool {
        if self.only.is_empty() {
            !self.quick || name.starts_with("parlor")
        } else {
            self.only.iter().any(|o| o == name)
        }
    }

    pub(crate) fn wants_scenario(&self, name: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|wanted| wanted == name)
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_string()).collect()
}
