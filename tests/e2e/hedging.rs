//! A second request beside one that takes long.

use std::time::{Duration, Instant};

use hyper::body::Incoming;
use portcullis_tests::{Gateway, Upstream, eventually, full};

async fn hedges(gateway: &Gateway, result: &str) -> f64 {
    let labels = [("upstream", "service"), ("result", result)];
    gateway.metric("portcullis_upstream_hedges_total", &labels).await
}

async fn hanging() -> Upstream {
    Upstream::with(|_| std::future::pending()).await
}

/// Budgets are what another test is about.
const HEDGE: &str = "hedge = { after = '500ms' }\nretry = { budget = '100%', budget_least = 100 }";

#[tokio::test]
async fn the_first_answer_wins_and_the_others_are_given_up() {
    let (slow, fast) = (hanging().await, Upstream::answering("fast").await);
    let gateway = Gateway::in_turn(&[&slow, &fast], HEDGE, "").await;

    for number in 0..6 {
        assert_eq!(gateway.get(&format!("/{number}")).await.text(), "fast");
    }

    assert!(slow.requests() >= 1);
    let (sent, won) = (hedges(&gateway, "sent").await, hedges(&gateway, "won").await);
    assert_eq!((sent, won), (slow.requests() as f64, slow.requests() as f64));
    eventually("the loser's connections are closed", async || {
        slow.open_connections() == 0
    })
    .await;
    let line = gateway.logged(|line| line["attempts"] == 2).await;
    assert_eq!(line["target"], fast.address().to_string());
}

#[tokio::test]
async fn an_answer_in_time_needs_no_second_request() {
    let (one, two) = (Upstream::answering("").await, Upstream::answering("").await);
    let gateway = Gateway::in_turn(&[&one, &two], "hedge = { after = '5s' }", "").await;

    for _ in 0..10 {
        gateway.get("/").await;
    }

    assert_eq!((one.requests(), two.requests()), (5, 5));
    assert_eq!(hedges(&gateway, "sent").await, 0.0);
}

#[tokio::test]
async fn no_two_go_to_one_target_while_there_is_another() {
    let upstreams = [hanging().await, hanging().await, hanging().await, hanging().await];
    let settings = "hedge = { after = '50ms', most = 2 }\nretry = { tries = 1, budget_least = 10 }";
    let [one, two, three, four] = &upstreams;
    let gateway = Gateway::in_turn(&[one, two, three, four], settings, "timeout = '2s'").await;

    assert_eq!(gateway.get("/").await.code(), "deadline");

    let mut asked = upstreams.each_ref().map(Upstream::requests);
    asked.sort_unstable();
    // The first and two beside it, though there is one more target.
    assert_eq!(asked, [0, 1, 1, 1]);
}

#[tokio::test]
async fn an_only_target_may_be_asked_twice() {
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let upstream = Upstream::with(move |_| {
        let number = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            if number == 0 {
                std::future::pending::<()>().await;
            }
            http::Response::new(full("second"))
        }
    })
    .await;
    let gateway = Gateway::in_turn(&[&upstream], HEDGE, "").await;

    assert_eq!(gateway.get("/").await.text(), "second");
}

#[tokio::test]
async fn a_failure_does_not_win() {
    let failing = Upstream::with(|_| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut response = http::Response::new(full("bad"));
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        response
    })
    .await;
    let good = Upstream::with(|_| async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        http::Response::new(full("good"))
    })
    .await;
    let settings = "hedge = { after = '50ms' }\nretry = { on = '503', budget = '100%', budget_least = 100 }";
    let gateway = Gateway::in_turn(&[&failing, &good], settings, "").await;

    for _ in 0..2 {
        assert_eq!(gateway.get("/").await.text(), "good");
    }

    assert_eq!((failing.requests(), good.requests()), (2, 2));
}

#[tokio::test]
async fn only_safe_methods_are_hedged() {
    let upstreams = [Upstream::with(slow).await, Upstream::with(slow).await];
    let [one, two] = &upstreams;
    let gateway = Gateway::in_turn(&[one, two], HEDGE, "").await;
    for method in ["POST", "PUT", "DELETE"] {
        gateway.request(method, "/").body("x").send().await;
    }
    assert_eq!(one.requests() + two.requests(), 3);
    gateway.get("/").await;
    assert_eq!(one.requests() + two.requests(), 5);
}

async fn slow(_: http::Request<Incoming>) -> http::Response<portcullis_tests::Body> {
    tokio::time::sleep(Duration::from_millis(1200)).await;
    http::Response::new(full("slow"))
}

#[tokio::test]
async fn hedges_count_against_the_budget_of_retries() {
    let upstreams = [Upstream::with(slow).await, Upstream::with(slow).await];
    let [one, two] = &upstreams;
    let settings = "hedge = { after = '50ms' }\nretry = { budget = '50%', budget_least = 0 }";
    let gateway = Gateway::in_turn(&[one, two], settings, "").await;

    for _ in 0..6 {
        gateway.get("/").await;
    }

    assert_eq!(one.requests() + two.requests(), 9);
}

#[tokio::test]
async fn a_route_may_hedge_or_not() {
    let slow = Upstream::with(slow).await;
    let gateway = Gateway::in_turn(&[&slow], HEDGE, "hedge = 'off'").await;
    let begin = Instant::now();

    gateway.get("/").await;

    assert_eq!(slow.requests(), 1);
    assert!(begin.elapsed() >= Duration::from_millis(1200));
}

#[tokio::test]
async fn who_was_outpaced_is_known_to_be_slow() {
    let (slow, fast) = (hanging().await, Upstream::answering("fast").await);
    let settings = format!("balance = 'peak-ewma'\n{HEDGE}");
    let gateway = Gateway::before(&[&slow, &fast], &settings, "[server]\nthreads = 1").await;

    for _ in 0..12 {
        assert_eq!(gateway.get("/").await.text(), "fast");
    }

    assert!(slow.requests() <= 1, "{}", slow.requests());
    let outpaced = [("upstream", "service"), ("result", "outpaced")];
    let outpaced = gateway.metric("portcullis_upstream_requests_total", &outpaced).await;
    assert_eq!(outpaced, slow.requests() as f64);
}

#[tokio::test]
async fn all_that_have_failed_in_a_race_are_left_for_another() {
    let failing = async |milliseconds| {
        Upstream::with(move |_| async move {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            let mut response = http::Response::new(full("bad"));
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            response
        })
        .await
    };
    let (first, second, good) = (
        failing(300).await,
        failing(300).await,
        Upstream::answering("good").await,
    );
    let settings = "balance = 'random'\nhedge = { after = '50ms' }\n\
        retry = { tries = 2, on = '503', backoff = '1ms', budget = '100%', budget_least = 100 }";
    let gateway = Gateway::before(&[&first, &second, &good], settings, "").await;

    for _ in 0..24 {
        assert_eq!(gateway.get("/").await.text(), "good");
    }

    assert!(first.requests() > 0 && second.requests() > 0);
    // Both, and then the good one.
    eventually("all are logged", async || gateway.access_log().len() == 24).await;
    let attempts = gateway.access_log().into_iter().map(|line| line["attempts"].as_u64());
    assert_eq!(attempts.max().flatten(), Some(3));
}
