//! `request-id`

use portcullis_tests::Upstream;

use super::filtering;

#[tokio::test]
async fn an_exchange_has_one_id_everywhere() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(&upstream, "{ use = 'request-id' }").await;

    let response = gateway.get("/").await;

    let id = response.header("x-request-id");
    assert!(id.len() >= 16, "{id}");
    assert_eq!(upstream.last_header("x-request-id"), id);
    assert_eq!(gateway.logged(|line| line["path"] == "/").await["id"], id);
}

#[tokio::test]
async fn ids_differ() {
    let upstream = Upstream::answering("").await;
    let gateway = filtering(&upstream, "{ use = 'request-id' }").await;

    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        assert!(ids.insert(gateway.get("/").await.header("x-request-id").to_owned()));
    }
}

#[tokio::test]
async fn a_clients_own_id_is_kept_only_where_it_is_trusted() {
    for (trust, sent, kept) in [
        ("false", "mine", false),
        ("true", "mine", true),
        ("true", "two words", false),
        ("true", &"x".repeat(129), false),
    ] {
        let upstream = Upstream::answering("").await;
        let filter = format!("{{ use = 'request-id', settings = {{ trust = {trust}, header = 'x-trace' }} }}");
        let gateway = filtering(&upstream, &filter).await;

        let response = gateway.request("GET", "/").header("x-trace", sent).send().await;

        assert_eq!(response.header("x-trace") == sent, kept, "trust = {trust}, {sent}");
        assert_eq!(upstream.last_header("x-trace"), response.header("x-trace"));
    }
}

#[tokio::test]
async fn replies_of_later_filters_carry_the_id_too() {
    let upstream = Upstream::answering("").await;
    let filters = "{ use = 'request-id' }, { use = 'token-auth', settings = { tokens = ['t'] } }";
    let gateway = filtering(&upstream, filters).await;

    let response = gateway.get("/").await;

    assert_eq!(
        (response.status(), response.header("x-request-id").is_empty()),
        (401, false)
    );
}
