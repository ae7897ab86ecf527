//! `parlor check-config`: every setting, its value and where that was written.

use std::io::Write;

use anyhow::Result;

use super::serve::Serve;
use super::show::Table;
use crate::config::without_login;

pub(super) fn run(serve: Serve) -> Result<()> {
    let loaded = serve.load()?;
    let mut table = Table::new(["SETTING", "VALUE", "FROM"]);
    for (name, given) in &loaded.sources {
        let value = match given.values.as_slice() {
            [] => "-".to_owned(),
            values => values.iter().map(|value| without_login(value)).collect::<Vec<_>>().join(", "),
        };
        table.row([(*name).to_owned(), value, given.source.to_string()]);
    }
    let mut out = std::io::stdout().lock();
    table.write(&mut out)?;
    let start = match &loaded.file {
        Some(file) => format!("parlor --config {}", super::show::quoted(&file.display().to_string())),
        None => "parlor".to_owned(),
    };
    writeln!(out, "\nAll settings are right. Start the server with: {start}")?;
    Ok(())
}
