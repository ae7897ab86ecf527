//! `parlor bench` measures any Parlor and says when something was lost.

use serde_json::Value;

use crate::server::{Server, parlor, refused};

#[test]
fn every_scenario_reports_figures_and_a_histogram() {
    let server = Server::start();
    let small = ["--seconds", "0.1", "--connections", "3", "--subscribers", "5", "--idle", "10", "--json"];
    let reports = server.run(&[&["bench"], &small[..]].concat());
    let reports: Vec<Value> = reports.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let check = |name: &str, figures: &[&str], latency: bool| {
        let report = reports.iter().find(|report| report["scenario"] == name).unwrap();
        for figure in figures {
            assert!(report["figures"][figure].as_f64().unwrap() > 0.0, "{name} {figure}: {report}");
        }
        assert_eq!(report["latency_ms"]["p99.9"].is_number(), latency, "{report}");
    };
    check("echo", &["round_trips"], true);
    check("fanout", &["publications", "deliveries"], true);
    check("rate", &["publications", "deliveries"], true);
    check("publish", &["acknowledged"], true);
    check("idle", &["opened"], false);
    assert!(reports.iter().all(|report| !report.to_string().contains("WRONG")), "{reports:?}");

    let table = server.run(&["bench", "fanout", "--seconds", "0.1", "--subscribers", "2"]);
    assert!(table.contains("Nothing was lost, all was in order."), "{table}");
    assert!(table.contains("p99.9") && table.contains('█'), "{table}");
}

#[test]
fn a_server_with_limits_is_told_how_to_be_measured() {
    let data = tempfile::tempdir().unwrap();
    let mut command = parlor();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let limited = parlor_testkit::process::Process::spawn(&mut command);
    let address = limited.line_with("listening on ")["listening on ".len()..].to_owned();
    let (code, stderr) = refused(parlor().args(["bench", "fanout", "--server", &address]));
    assert_eq!(code, 1);
    assert!(stderr.contains("start it with `parlor --no-limits`"), "{stderr}");
}
