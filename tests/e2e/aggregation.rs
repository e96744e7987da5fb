//! One request, several services.

use std::time::{Duration, Instant};

use http::Response;
use http_body_util::BodyExt;
use portcullis_tests::{Folder, Gateway, Upstream, eventually, full, portcullis_in, shipped};
use serde_json::json;
use tokio::time::sleep;

/// A service that answers every path with the text beside the longest beginning of it, and all else with 404.
async fn service(answers: &'static [(&'static str, &'static str)]) -> Upstream {
    Upstream::with(move |request| async move {
        let path = request.uri().to_string();
        let found = answers.iter().find(|(beginning, _)| path.starts_with(beginning));
        let mut response = Response::new(full(found.map_or("{}", |(_, answer)| *answer)));
        if found.is_none() {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        }
        response
    })
    .await
}

/// A service that answers after a while.
async fn slow(milliseconds: u64, answer: &'static str) -> Upstream {
    Upstream::with(move |_| async move {
        sleep(Duration::from_millis(milliseconds)).await;
        Response::new(full(answer))
    })
    .await
}

fn route(first: &Upstream, second: &Upstream, calls: &str) -> String {
    format!(
        "upstream.a.targets = \"{first}\"\nupstream.b.targets = \"{second}\"\n[[route]]\nmatch = \"/x/{{id}}\"\n{calls}"
    )
}

#[tokio::test]
async fn the_shipped_dashboard_is_one_answer_from_three_services() {
    let users = service(&[(
        "/users/7",
        r#"{"id":7,"name":"Ada","secret":1,"address":{"city":"York","zip":"1"}}"#,
    )])
    .await;
    let orders = service(&[(
        "/orders?user=7&limit=10",
        r#"{"items":[{"product":"p1","price":1.10000000000000000001},{"product":"p2","price":2}]}"#,
    )])
    .await;
    let products = service(&[
        ("/products/p1", r#"{"id":"p1","title":"Tea","stock":3}"#),
        ("/products/p2", r#"{"id":"p2","title":"Milk","stock":0}"#),
    ])
    .await;
    let upstreams = [("users", &users), ("orders", &orders), ("products", &products)];
    let gateway = Gateway::start(shipped("aggregation.toml", &upstreams)).await;

    let answer = gateway.get("/dashboard/7").await;

    assert_eq!((answer.status(), answer.header("x-portcullis-complete")), (200, "true"));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(
        answer.text(),
        concat!(
            r#"{"id":7,"name":"Ada","address":{"city":"York"},"history":{"orders":{"items":["#,
            r#"{"product":"p1","cost":1.10000000000000000001},{"product":"p2","cost":2}]},"#,
            r#""products":[{"id":"p1","title":"Tea"},{"id":"p2","title":"Milk"}]}}"#
        )
    );
    assert_eq!(
        gateway.get("/dashboard/8").await.status(),
        404,
        "the service's own status is passed"
    );
    assert_eq!(gateway.outcome("/dashboard/8").await, "call-status");
}

#[tokio::test]
async fn an_answer_without_an_optional_part_says_so_and_is_not_cached() {
    let (user, gone) = (Upstream::answering(r#"{"id":1}"#).await, service(&[]).await);
    let calls = "aggregate.errors = 'errors'\n[route.aggregate.call.user]\nget = 'a:/'\n\
                 [route.aggregate.call.more]\nget = 'b:/'\ninto = 'more'\nrequired = false\non_error = []";
    let gateway = Gateway::start(route(&user, &gone, calls)).await;

    let answer = gateway.get("/x/1").await;

    assert_eq!(
        (answer.status(), answer.header("x-portcullis-complete")),
        (200, "false")
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let expected = json!({ "id": 1, "more": [], "errors": [{ "call": "more", "reason": "status" }] });
    assert_eq!(answer.json(), expected);
    let failed = [("call", "more"), ("reason", "status")];
    assert_eq!(gateway.metric("portcullis_calls_failed_total", &failed).await, 1.0);
    assert_eq!(gateway.metric("portcullis_calls_failed_total", &[]).await, 1.0);
}

#[tokio::test]
async fn what_does_not_depend_runs_at_once_and_arrival_changes_nothing() {
    let calls = "[route.aggregate.call.one]\nget = 'a:/'\n[route.aggregate.call.two]\nget = 'b:/'";
    let mut texts = Vec::new();
    for (first, second) in [(300, 350), (350, 300)] {
        let (a, b) = (slow(first, r#"{"a":1}"#).await, slow(second, r#"{"b":2}"#).await);
        let gateway = Gateway::start(route(&a, &b, calls)).await;
        let start = Instant::now();
        texts.push(gateway.get("/x/1").await.text());
        assert!(start.elapsed() < Duration::from_millis(640), "one after the other");
    }
    assert_eq!(texts, [r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#]);
}

#[tokio::test]
async fn a_required_failure_is_the_answers_and_stops_the_others() {
    let (slow, gone) = (slow(60_000, "{}").await, service(&[]).await);
    let calls = "[route.aggregate.call.one]\nget = 'a:/'\n[route.aggregate.call.two]\nget = 'b:/'\ninto = 'two'";
    let gateway = Gateway::start(route(&slow, &gone, calls)).await;

    let answer = gateway.get("/x/1").await;

    assert_eq!((answer.status(), answer.code().as_str()), (502, "call-failed"));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    eventually("the slow call is cancelled", async || slow.open_connections() == 0).await;
}

#[tokio::test]
async fn calls_have_times_of_their_own() {
    let (late, fast) = (slow(60_000, "{}").await, Upstream::answering(r#"{"b":1}"#).await);
    let calls = |required| {
        format!(
            "[route.aggregate.call.one]\nget = 'a:/'\ntimeout = '200ms'\nrequired = {required}\ninto = 'a'\n\
             [route.aggregate.call.two]\nget = 'b:/'"
        )
    };
    let gateway = Gateway::start(route(&late, &fast, &calls(true))).await;
    let answer = gateway.get("/x/1").await;
    assert_eq!((answer.status(), answer.code().as_str()), (504, "call-timeout"));

    let gateway = Gateway::start(route(&late, &fast, &calls(false))).await;
    let answer = gateway.get("/x/1").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, r#"{"b":1}"#));
}

#[tokio::test]
async fn malformed_large_and_deep_bodies_fail_their_call() {
    let bodies = [
        "{\"a\":1",
        "[1,]",
        r#"{"a":1,"a":2}"#,
        "[[[[[[1]]]]]]",
        r#"{"a":"0123456789012345678901234567890123456789"}"#,
    ];
    for body in bodies {
        let (bad, fine) = (Upstream::answering(body).await, Upstream::answering("{}").await);
        let calls =
            "aggregate.max_depth = 5\naggregate.max_body = '32B'\n[route.aggregate.call.one]\nget = 'a:/'\ninto = 'a'";
        let gateway = Gateway::start(route(
            &bad,
            &fine,
            &format!("{calls}\n[route.aggregate.call.two]\nget = 'b:/'"),
        ))
        .await;
        let answer = gateway.get("/x/1").await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (502, "call-failed"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn what_the_client_left_out_is_its_own_mistake_and_named() {
    let echo = Upstream::answering("{}").await;
    let calls = "[route.aggregate.call.one]\nget = 'a:/${path.id}?limit=${query.limit}'\n\
                 headers = { x-tenant = '${header.x-tenant ?? none}' }\n[route.aggregate.call.two]\nget = 'b:/'\ninto = 'b'";
    let one = Upstream::answering("1").await;
    let gateway = Gateway::start(route(&echo, &one, calls)).await;

    let answer = gateway.get("/x/1").await;
    assert_eq!((answer.status(), answer.code().as_str()), (400, "call-unfilled"));
    assert!(
        answer.json()["detail"].to_string().contains("query.limit"),
        "{}",
        answer.text()
    );

    let answer = gateway.get("/x/a%20b?limit=1%262").await;
    assert_eq!(answer.text(), r#"{"b":1}"#);
    assert_eq!(echo.last_target(), "/a%20b?limit=1%262");
    assert_eq!(echo.last_header("x-tenant"), "none");
    assert!(!echo.last_header("x-forwarded-for").is_empty());
}

#[tokio::test]
async fn calls_are_tried_again_as_forwarded_requests_are() {
    let free = portcullis_tests::free_address();
    let fine = Upstream::answering(r#"{"a":1}"#).await;
    let configuration = format!(
        "upstream.a.targets = [\"http://{free}\", \"{fine}\"]\n[[route]]\nmatch = \"/\"\n\
         [route.aggregate.call.one]\nget = 'a:/'"
    );
    let gateway = Gateway::start(configuration).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.text(), r#"{"a":1}"#);
    }
}

#[tokio::test]
async fn explain_prints_the_graph() {
    let (a, b) = (Upstream::answering("").await, Upstream::answering("").await);
    let calls = "[route.aggregate.call.user]\nget = 'a:/users/${path.id}'\n\
                 [route.aggregate.call.orders]\nget = 'b:/orders?user=${call.user.body.id}'\nrequired = false\ninto = 'o'";
    let folder = Folder::new();
    let text = format!("version = 1\nserver.listen = '127.0.0.1:0'\n{}", route(&a, &b, calls));
    folder.write("portcullis.toml", text);

    let explained = portcullis_in(folder.path(), &["explain", "GET", "/x/1", "-c", "portcullis.toml"]);

    let shown = &explained.stdout;
    assert!(
        shown.contains("backend   1  user    GET a:/users/${path.id}"),
        "{explained:?}"
    );
    assert!(
        shown.contains("2  orders  GET b:/orders?user=${call.user.body.id}  after user; optional"),
        "{explained:?}"
    );
}

#[tokio::test]
async fn what_two_calls_write_is_merged_as_the_second_says() {
    const OBJECTS: [&str; 2] = [
        r#"{"list":[1],"own":{"a":1,"both":1}}"#,
        r#"{"list":[2],"own":{"b":2,"both":2}}"#,
    ];
    for (merge, answers, expected) in [
        ("deep", OBJECTS, r#"{"all":{"list":[2],"own":{"a":1,"both":2,"b":2}}}"#),
        ("overwrite", OBJECTS, r#"{"all":{"list":[2],"own":{"b":2,"both":2}}}"#),
        ("append", ["[1]", "[2]"], r#"{"all":[1,2]}"#),
    ] {
        let (a, b) = (
            Upstream::answering(answers[0]).await,
            Upstream::answering(answers[1]).await,
        );
        let calls = format!(
            "[route.aggregate.call.one]\nget = 'a:/'\ninto = 'all'\n\
             [route.aggregate.call.two]\nget = 'b:/'\ninto = 'all'\nmerge = '{merge}'"
        );
        let gateway = Gateway::start(route(&a, &b, &calls)).await;

        assert_eq!(gateway.get("/x/1").await.text(), expected, "{merge}");
    }
}

#[tokio::test]
async fn what_each_service_says_of_caching_holds_for_the_answer() {
    let saying = |cache: &'static str| async move {
        Upstream::with(move |_| async move {
            let mut response = Response::new(full(r#"{}"#));
            response
                .headers_mut()
                .insert("cache-control", http::HeaderValue::from_static(cache));
            response
        })
        .await
    };
    for (one, two, expected) in [
        ("max-age=60", "max-age=30", "max-age=30"),
        ("max-age=60, public", "private, max-age=90", "private"),
        ("max-age=60", "no-store", "no-store"),
    ] {
        let (a, b) = (saying(one).await, saying(two).await);
        let calls = "[route.aggregate.call.one]\nget = 'a:/'\n[route.aggregate.call.two]\nget = 'b:/'\ninto = 'b'";
        let gateway = Gateway::start(route(&a, &b, calls)).await;

        let answer = gateway.get("/x/1").await;

        let said = answer.header("cache-control");
        assert!(said.contains(expected), "{one}; {two}: {said}");
        assert!(expected != "max-age=30" || !said.contains("60"), "{said}");
    }
}

#[tokio::test]
async fn filters_see_the_request_before_the_calls_and_the_answer_after_them() {
    let echo = Upstream::answering(r#"{"a":1}"#).await;
    let calls = "filters = [\n\
                 { use = 'token-auth', settings = { tokens = ['t'], header = 'x-token' } },\n\
                 { use = 'edit-headers', settings = { request = { set = { x-tenant = 'acme' } }, response = { set = { x-seen = 'yes' } } } },\n\
                 ]\n[route.aggregate.call.one]\nget = 'a:/'\nheaders = { x-tenant = '${header.x-tenant}' }";
    let gateway = Gateway::start(route(&echo, &echo, calls)).await;

    assert_eq!(gateway.get("/x/1").await.status(), 401);
    assert_eq!(echo.requests(), 0, "nothing is called before a filter has let it pass");

    let answer = gateway.request("GET", "/x/1").header("x-token", "t").send().await;
    assert_eq!((answer.status(), answer.header("x-seen")), (200, "yes"));
    assert_eq!(echo.last_header("x-tenant"), "acme");
}

#[tokio::test]
async fn a_call_sends_what_it_is_told_to_and_no_credentials_of_the_client() {
    let echo = Upstream::with(|request| async move {
        let sent = request.into_body().collect().await.expect("a body").to_bytes();
        Response::new(full(format!("{{\"sent\":{}}}", String::from_utf8_lossy(&sent))))
    })
    .await;
    let calls = "aggregate.allow_unsafe = true\n[route.aggregate.call.one]\npost = 'a:/orders'\n\
                 body = { id = '${path.id}', fixed = [1, true] }\ntimeout = '5s'";
    let gateway = Gateway::start(route(&echo, &echo, calls)).await;

    let answer = gateway
        .request("GET", "/x/7")
        .header("authorization", "Bearer secret")
        .header("cookie", "a=b")
        .header("accept-language", "fr")
        .send()
        .await;

    let sent = r#"{"sent":{"id":"7","fixed":[1,true]}}"#;
    assert_eq!((answer.status(), answer.text().as_str()), (200, sent));
    assert_eq!(echo.last_header("accept-language"), "fr");
    assert_eq!(
        (echo.last_header("authorization"), echo.last_header("cookie")),
        (String::new(), String::new())
    );
}

#[tokio::test]
async fn head_gets_the_head_of_the_answer() {
    let a = Upstream::answering(r#"{"a":1}"#).await;
    let gateway = Gateway::start(route(&a, &a, "[route.aggregate.call.one]\nget = 'a:/'")).await;

    let answer = gateway.request("HEAD", "/x/1").send().await;

    assert_eq!(
        (answer.status(), answer.header("content-length"), answer.text().len()),
        (200, "7", 0)
    );
}
