//! Settings: where they come from, which wins, and what is said about a slip.

use crate::server::{parlor, refused, text};

/// A table with one space between its columns, however wide they are.
fn columns(stdout: &[u8]) -> String {
    let table = text(stdout);
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_printed_defaults_are_a_file_that_the_server_takes() {
    let dir = tempfile::tempdir().unwrap();
    let defaults = parlor().arg("print-defaults").output().unwrap().stdout;
    std::fs::write(dir.path().join("parlor.toml"), &defaults).unwrap();
    let checked = parlor().current_dir(&dir).arg("check-config").output().unwrap();
    let table = columns(&checked.stdout);
    assert!(table.contains("listen 127.0.0.1:9527 parlor.toml line 5"), "{table}");
    assert!(table.contains("Start the server with: parlor --config parlor.toml"), "{table}");
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine.toml"), "listen = \"127.0.0.1:1\"\nworkers = 1\nlog = \"warn\"\n")
        .unwrap();
    let mut command = parlor();
    command.current_dir(&dir).args(["check-config", "--config", "mine.toml", "--listen", "127.0.0.1:3"]);
    command.env("PARLOR_LISTEN", "127.0.0.1:2").env("PARLOR_WORKERS", "2");
    let table = columns(&command.output().unwrap().stdout);
    for row in ["listen 127.0.0.1:3 --listen", "workers 2 PARLOR_WORKERS", "log warn mine.toml line 3"] {
        assert!(table.contains(row), "{row}:\n{table}");
    }
}

#[test]
fn a_slip_ends_the_program_with_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("slip.toml"), "listn = \"127.0.0.1:1\"\n").unwrap();
    let check = |args: &[&str], variable: Option<(&str, &str)>, sentence: &str| {
        let mut command = parlor();
        command.current_dir(&dir).args(args).envs(variable);
        let (code, stderr) = refused(&mut command);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(sentence), "{stderr}");
    };
    check(
        &["--config", "slip.toml"],
        None,
        "slip.toml line 1: there is no setting listn; did you mean listen?",
    );
    check(
        &["serve"],
        Some(("PARLOR_LISTN", "x")),
        "there is no setting PARLOR_LISTN; did you mean PARLOR_LISTEN?",
    );
    check(&["serve", "--lisen", "x"], None, "a similar argument exists: '--listen'");
    check(&["--engine", "sqlite"], None, "--engine: \"sqlite\" is no engine; there are embedded, memory");
    check(&["--config", "none.toml"], None, "`parlor print-defaults > parlor.toml` makes a file");
    check(&["pubish"], None, "a similar subcommand exists: 'publish'");
}

#[test]
fn a_password_in_an_address_is_not_shown() {
    let url = "redis://bob:geheim@127.0.0.1:1/0";
    let checked = parlor().args(["check-config", "--engine", url]).output().unwrap();
    let table = text(&checked.stdout);
    assert!(table.contains("redis://…@127.0.0.1:1/0") && !table.contains("geheim"), "{table}");
    let dir = tempfile::tempdir().unwrap();
    let mut command = parlor();
    command.env("PARLOR_ENGINE", url).env("PARLOR_LOG", "trace").arg("--data").arg(dir.path());
    let (code, stderr) = refused(&mut command);
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot reach redis://127.0.0.1:1: "), "{stderr}");
    assert!(!stderr.contains("geheim"), "{stderr}");
}

#[test]
fn an_occupied_address_is_said_in_a_sentence() {
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut command = parlor();
    command.args(["--listen", &occupied.local_addr().unwrap().to_string(), "--data"]).arg(dir.path());
    let (code, stderr) = refused(&mut command);
    assert_eq!(code, 1);
    assert!(stderr.contains("is another Parlor running there?"), "{stderr}");
}
