//! The demo (`config/demo.toml` and three small services), by its own curl lines.

use std::process::Command;

use portcullis_tests::{Gateway, eventually, portcullis_in};

const DEMO: [&str; 5] = ["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// The lines that the demo asks its reader to type.
async fn curl_lines(gateway: &Gateway) -> Vec<String> {
    let lines = || -> Vec<String> {
        let said = format!("{}\n{}", gateway.stdout(), gateway.log());
        said.lines()
            .filter_map(|line| Some(line[line.find("curl ")?..].to_owned()))
            .collect()
    };
    eventually("five lines to type", async || lines().len() >= 5).await;
    lines()
}

/// Types a line, as printed, and gives the status of what comes back.
fn typed(line: &str) -> String {
    let line = line.replacen(
        "curl ",
        "curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' ",
        1,
    );
    let ran = Command::new("sh").args(["-c", &line]).output().expect("a shell");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

#[tokio::test]
async fn its_own_curl_lines_work() {
    if Command::new("curl").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("PORTCULLIS_REQUIRE_SERVERS").is_none(),
            "curl is missing"
        );
        eprintln!("ignored: curl is not installed");
        return;
    }
    let gateway = Gateway::start_by(&DEMO).await;

    let mut statuses = std::collections::BTreeSet::new();
    for line in curl_lines(&gateway).await {
        // The limited one is refused only after some.
        for _ in 0..10 {
            let status = typed(&line);
            assert!(
                status.parse::<u16>().is_ok_and(|status| (200..500).contains(&status)),
                "{line}: {status}"
            );
            statuses.insert(status);
        }
    }

    for status in ["200", "401", "429"] {
        assert!(
            statuses.contains(status),
            "no line is answered with {status}: {statuses:?}"
        );
    }
    assert_eq!(gateway.metric("portcullis_filter_failures_total", &[]).await, 0.0);
}

#[tokio::test]
async fn it_ends_with_ctrl_c() {
    let gateway = Gateway::start_by(&DEMO).await;

    gateway.signal("INT");

    assert_eq!(gateway.exited().await, 0);
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let first = Gateway::start_by(&DEMO).await;
    let taken = first.address().to_string();

    let ran = portcullis_in(
        first.folder().path(),
        &["demo", "--listen", &taken, "--admin", "127.0.0.1:0"],
    );

    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.stderr.contains(&taken) && ran.stderr.contains("--listen"),
        "{}",
        ran.stderr
    );
}
