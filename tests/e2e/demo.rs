//! The demo (`config/demo.toml` and three small services), by its own curl lines.

use std::process::Command;

use portcullis_tests::{Gateway, eventually, gateway_binary, portcullis_in};

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
async fn links_to_the_inside_are_rewritten() {
    let gateway = Gateway::start_by(&DEMO).await;

    let users = gateway.get("/users").await.json();

    let links = users["users"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|user| &user["url"]);
    let outside = |id| serde_json::json!(format!("https://shop.example/users/{id}"));
    assert!(links.eq(&[outside(1), outside(2), outside(3)]), "{users}");
}

#[tokio::test]
async fn a_page_is_one_answer_from_three_services() {
    let gateway = Gateway::start_by(&DEMO).await;

    let page = gateway.get("/home/1").await;

    assert_eq!(page.header("x-portcullis-complete"), "true");
    assert_eq!(
        page.text(),
        r#"{"id":1,"name":"Ada","orders":[{"id":1,"sku":"cups","count":4}],"stock":[{"sku":"cups","available":40}]}"#
    );
    assert_eq!(gateway.get("/home/9").await.status(), 404);
}

#[tokio::test]
async fn its_line_that_explains_works() {
    let gateway = Gateway::start_by(&DEMO).await;
    // The last of the lines to type.
    let asking = || {
        let said = gateway.stdout();
        said.lines()
            .find(|line| line.contains(" explain GET "))
            .map(str::to_owned)
    };
    eventually("a line that explains", async || asking().is_some()).await;
    let line = asking().expect("it was there");

    // Typed where no `portcullis` is on the path, so as the program that runs here.
    let program = gateway_binary();
    let line = line.replace("portcullis demo", &format!("{} demo", program.display()));
    let line = line.replace("portcullis explain", &format!("{} explain", program.display()));
    let ran = Command::new("sh")
        .args(["-c", &line])
        .current_dir(gateway.folder().path())
        .output();

    let ran = ran.expect("a shell");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{line}: {ran:?}");
    assert!(
        said.contains("route     orders") && said.contains("demo.toml:"),
        "{said}"
    );
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

    for (option, other) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let ran = portcullis_in(first.folder().path(), &["demo", option, &taken, other, "127.0.0.1:0"]);

        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(
            ran.stderr.contains(&taken) && ran.stderr.contains(option),
            "{}",
            ran.stderr
        );
    }
}
