//! From file, environment and flags to checked settings: a flag wins over the environment, that over the file.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Value;

use super::raw::{Given, Kind, Raw, SETTINGS, Setting, Source};
use super::{Settings, Wrong};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "parlor.toml";

/// Variables that are not settings of the server but known.
const OTHER_VARIABLES: [&str; 3] = ["PARLOR_CONFIG", "PARLOR_SERVER", "PARLOR_KEY_FILE"];

/// Settings, and where each came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    /// Every setting, in the order of the table.
    pub(crate) sources: Vec<(&'static str, Given)>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// Puts all sources together. `file` is what `--config` names; without it, `parlor.toml` is read if it is there.
pub(crate) fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: Raw,
) -> Result<Loaded, Wrong> {
    let (mut raw, file) = read_file(file)?;
    raw.extend(read_variables(variables)?);
    raw.extend(flags);
    let sources: Vec<_> = SETTINGS
        .iter()
        .map(|setting| (setting.name, raw.remove(setting.name).unwrap_or_else(|| default(setting))))
        .collect();
    let settings = Settings::check(&sources)?;
    Ok(Loaded { settings, sources, file })
}

fn default(setting: &Setting) -> Given {
    // Empty where the machine decides; otherwise a test holds that it is right.
    let value = setting.default.parse::<Value>().ok();
    let values = value.and_then(|value| as_text(setting.kind, value)).unwrap_or_default();
    Given { values, source: Source::Default }
}

fn read_file(named: Option<&Path>) -> Result<(Raw, Option<PathBuf>), Wrong> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => parse_file(&path.display().to_string(), &text).map(|raw| (raw, Some(path.to_owned()))),
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Ok((Raw::new(), None)),
        Err(error) => Err(Wrong(format!(
            "cannot read the settings in {}: {error}; `parlor print-defaults > {DEFAULT_FILE}` makes a file",
            path.display()
        ))),
    }
}

pub(super) fn parse_file(path: &str, text: &str) -> Result<Raw, Wrong> {
    let table: toml::Table = toml::from_str(text)
        .map_err(|error| Wrong(format!("{path} is not TOML: {}", error.to_string().trim())))?;
    let mut raw = Raw::new();
    for (name, value) in table {
        let source = Source::File(path.to_owned(), line_of(text, &name));
        let Some(setting) = Setting::find(&name) else {
            return Err(unknown(
                &source.to_string(),
                &name,
                SETTINGS.iter().map(|setting| setting.name.to_owned()),
            ));
        };
        let Some(values) = as_text(setting.kind, value) else {
            return Err(Wrong(format!(
                "{source}: {name} has the wrong type; a correct line is {}",
                setting.example
            )));
        };
        raw.insert(setting.name, Given { values, source });
    }
    Ok(raw)
}

/// The line that begins with a name, counted from one.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let begins = |line: &str| {
        let rest = line.trim_start().trim_start_matches('"').strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start_matches('"').trim_start().starts_with(['=', '.', ']']))
    };
    text.lines().position(begins).map(|line| line + 1)
}

fn as_text(kind: Kind, value: Value) -> Option<Vec<String>> {
    match (kind, value) {
        (Kind::Text | Kind::List, Value::String(text)) => Some(vec![text]),
        (Kind::Number, Value::Integer(number)) => Some(vec![number.to_string()]),
        (Kind::Switch, Value::Boolean(on)) => Some(vec![on.to_string()]),
        (Kind::List, Value::Array(values)) => {
            values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}

fn read_variables(variables: impl IntoIterator<Item = (String, String)>) -> Result<Raw, Wrong> {
    let mut raw = Raw::new();
    for (variable, value) in variables {
        if !variable.starts_with("PARLOR_") || OTHER_VARIABLES.contains(&&*variable) {
            continue;
        }
        let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == variable) else {
            // Other programs may set variables of this prefix (Kubernetes does for a service called parlor), so only
            // what looks like a slip is an error.
            let known: Vec<_> = SETTINGS.iter().map(Setting::variable).collect();
            if nearest(&variable, known.iter().cloned()).is_some() {
                return Err(unknown("the environment", &variable, known));
            }
            continue;
        };
        let values = match setting.kind {
            Kind::List => {
                value.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
            }
            _ => vec![value],
        };
        raw.insert(setting.name, Given { values, source: Source::Variable(variable) });
    }
    Ok(raw)
}

fn unknown(source: &str, name: &str, known: impl IntoIterator<Item = String>) -> Wrong {
    let known: Vec<String> = known.into_iter().collect();
    let hint = match nearest(name, known.iter().cloned()) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("there are {}", known.join(", ")),
    };
    Wrong(format!("{source}: there is no setting {name}; {hint}"))
}

/// The known name that was probably meant: at most a third of its letters are off.
fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let off = |known: &str| {
        let plain = |text: &str| text.trim_start_matches("PARLOR_").to_lowercase().replace('-', "_");
        (strsim::damerau_levenshtein(&plain(known), &plain(name)), plain(known).len())
    };
    known
        .map(|known| (off(&known), known))
        .filter(|((off, len), _)| off * 3 <= *len)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads one file's text, pairs of the environment and pairs of flags.
    fn check(
        file: &str,
        variables: &[(&str, &str)],
        flags: &[(&'static str, &str)],
    ) -> Result<String, String> {
        let mut raw = parse_file("parlor.toml", file).map_err(|wrong| wrong.0)?;
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        raw.extend(read_variables(variables).map_err(|wrong| wrong.0)?);
        raw.extend(flags.iter().map(|(name, value)| {
            (*name, Given { values: vec![(*value).to_owned()], source: Source::Flag((*name).to_owned()) })
        }));
        Ok(raw
            .iter()
            .map(|(name, given)| format!("{name}={} ({})", given.values.join("|"), given.source))
            .collect())
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let file = "# mine\nlisten = \"a\"\norigin = [\"x\", \"y\"]\n";
        assert_eq!(
            check(file, &[], &[]).unwrap(),
            "listen=a (parlor.toml line 2)origin=x|y (parlor.toml line 3)"
        );
        let variables =
            [("PARLOR_LISTEN", "b"), ("PARLOR_ORIGIN", "p, q"), ("PARLOR_SERVICE_HOST", "10.0.0.1")];
        assert_eq!(
            check(file, &variables, &[]).unwrap(),
            "listen=b (PARLOR_LISTEN)origin=p|q (PARLOR_ORIGIN)"
        );
        assert_eq!(
            check(file, &variables, &[("listen", "c")]).unwrap(),
            "listen=c (--listen)origin=p|q (PARLOR_ORIGIN)"
        );
    }

    #[test]
    fn an_unknown_name_is_told_what_was_meant() {
        for (file, expected) in [
            ("listn = \"a\"", "parlor.toml line 1: there is no setting listn; did you mean listen?"),
            (
                "\n no-limits = true",
                "parlor.toml line 2: there is no setting no-limits; did you mean no_limits?",
            ),
            (
                "[server]\nlisten = \"a\"",
                "parlor.toml: there is no setting server; there are listen, data, engine, origin, public_url, trusted_proxies, forwarded_in, tls_certificate, tls_key, recovery, compression, drop_oldest, latest_only, workers, memory, no_limits, log",
            ),
            (
                "workers = \"4\"",
                "parlor.toml line 1: workers has the wrong type; a correct line is workers = 4",
            ),
            (
                "origin = [1]",
                "parlor.toml line 1: origin has the wrong type; a correct line is origin = [\"https://app.example\"]",
            ),
        ] {
            assert_eq!(check(file, &[], &[]).unwrap_err(), expected);
        }
        assert_eq!(
            check("", &[("PARLOR_LISTN", "a")], &[]).unwrap_err(),
            "the environment: there is no setting PARLOR_LISTN; did you mean PARLOR_LISTEN?"
        );
        assert!(check("= 3", &[], &[]).unwrap_err().starts_with("parlor.toml is not TOML: "));
    }

    #[test]
    fn the_printed_defaults_load_as_the_defaults() {
        let raw = parse_file("parlor.toml", &super::super::print_defaults()).unwrap();
        for setting in SETTINGS {
            match raw.get(setting.name) {
                Some(given) => assert_eq!(given.values, default(setting).values, "{}", setting.name),
                None => assert_eq!(setting.default, "", "{}", setting.name),
            }
            // The examples are correct lines.
            parse_file("parlor.toml", setting.example).unwrap();
        }
    }
}
