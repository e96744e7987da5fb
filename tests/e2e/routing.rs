//! Which route answers a request.

use portcullis_tests::{Gateway, Upstream};

/// A gateway whose routes each answer with their own match.
async fn with_routes(matches: &[&str]) -> Gateway {
    let route = |text: &&str| format!("[[route]]\nmatch = '{text}'\nrespond = {{ body = '{text}' }}\n");
    Gateway::start(matches.iter().map(route).collect::<String>()).await
}

#[tokio::test]
async fn a_literal_comes_before_a_parameter_and_a_parameter_before_a_wildcard() {
    let gateway = with_routes(&["/users/{rest...}", "/users/{id}", "/users/me"]).await;

    assert_eq!(gateway.get("/users/me").await.text(), "/users/me");
    assert_eq!(gateway.get("/users/7").await.text(), "/users/{id}");
    assert_eq!(gateway.get("/users/7/orders").await.text(), "/users/{rest...}");
}

#[tokio::test]
async fn a_route_with_a_host_comes_before_one_without() {
    let gateway = with_routes(&["/x", "example.com/x", "*.example.com/x"]).await;
    let from = async |host| gateway.request("GET", "/x").header("host", host).send().await.text();

    assert_eq!(from("example.com").await, "example.com/x");
    assert_eq!(from("EXAMPLE.com:8080").await, "example.com/x");
    assert_eq!(from("a.example.com").await, "*.example.com/x");
    assert_eq!(from("example.org").await, "/x");
    assert_eq!(from("badexample.com").await, "/x");
}

#[tokio::test]
async fn a_path_that_no_route_matches_is_404() {
    let gateway = with_routes(&["/users/{id}"]).await;

    for path in ["/", "/users", "/users/7/orders", "/Users/7"] {
        let response = gateway.get(path).await;
        assert_eq!(
            (response.status(), response.code().as_str()),
            (404, "no-route"),
            "{path}"
        );
    }
    assert_eq!(gateway.outcome("/users/7/orders").await, "no-route");
}

#[tokio::test]
async fn a_path_that_matches_with_another_method_is_405_with_allow() {
    let gateway = with_routes(&["GET,POST /users", "DELETE /users"]).await;

    let response = gateway.request("PUT", "/users").send().await;

    assert_eq!(
        (response.status(), response.code().as_str()),
        (405, "method-not-allowed")
    );
    for method in ["GET", "POST", "DELETE"] {
        assert!(
            response.header("allow").split(", ").any(|allowed| allowed == method),
            "{}",
            response.header("allow")
        );
    }
}

#[tokio::test]
async fn methods_choose_between_routes_of_one_path() {
    let gateway = with_routes(&["GET /users", "POST /users", "/users"]).await;
    let by = async |method| gateway.request(method, "/users").send().await.text();

    assert_eq!(by("GET").await, "GET /users");
    assert_eq!(by("POST").await, "POST /users");
    assert_eq!(by("PATCH").await, "/users");
}

#[tokio::test]
async fn a_route_may_match_in_several_ways() {
    let gateway = Gateway::start("[[route]]\nmatch = ['GET /a', 'POST /b']\nrespond = { body = 'here' }").await;

    assert_eq!(gateway.get("/a").await.text(), "here");
    assert_eq!(gateway.request("POST", "/b").send().await.text(), "here");
    assert_eq!(gateway.get("/b").await.status(), 405);
}

#[tokio::test]
async fn parameters_are_put_into_the_path_that_is_forwarded() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::start(format!(
        r#"
        upstream.users.targets = ["{upstream}"]
        [[route]]
        match = "/v1/users/{{id}}/{{rest...}}"
        to = "users"
        rewrite = {{ path = "/api/{{id}}/all/{{rest}}" }}
        "#
    ))
    .await;

    let seen = gateway.get("/v1/users/a%20b/c/d?x=1&y=%2F").await.json();

    assert_eq!(seen["path"], "/api/a%20b/all/c/d");
    assert_eq!(seen["query"], "x=1&y=%2F");
}

#[tokio::test]
async fn two_routes_that_could_tie_are_refused() {
    let said = Gateway::refused(
        "[[route]]\nmatch = '/users/{id}'\nrespond = {}\n[[route]]\nmatch = '/users/{name}'\nrespond = {}",
    )
    .await;

    assert!(said.contains("/users/{name}") && said.contains("/users/{id}"), "{said}");
}

#[tokio::test]
async fn headers_and_queries_choose_between_routes() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        match = "/x"
        respond = { body = "plain" }
        [[route]]
        match = { path = "/x", headers = { x-tenant = "acme" } }
        respond = { body = "acme" }
        [[route]]
        match = { path = "/x", headers = { accept = { prefix = "text/" }, x-tenant = { present = true } } }
        respond = { body = "a tenant's text" }
        [[route]]
        match = { path = "/x", query = { page = { regex = "[0-9]+" } } }
        respond = { body = "a page" }
        "#,
    )
    .await;

    assert_eq!(gateway.get("/x").await.text(), "plain");
    assert_eq!(gateway.get("/x?page=12").await.text(), "a page");
    assert_eq!(gateway.get("/x?page=12a").await.text(), "plain");
    let tenant = async |name: &str| {
        gateway
            .request("GET", "/x")
            .header("x-tenant", name)
            .header("accept", "text/html")
    };
    assert_eq!(tenant("other").await.send().await.text(), "a tenant's text");
    let acme = gateway.request("GET", "/x").header("X-Tenant", "acme").send().await;
    assert_eq!(acme.text(), "acme");
}
