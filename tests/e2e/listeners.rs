//! Several listeners, each with its own routes: addresses of both families, Unix sockets, redirects to HTTPS.

use std::os::unix::fs::PermissionsExt;

use portcullis_tests::{Connection, Folder, Gateway, Request, curl, has_program, portcullis_in};

#[tokio::test]
async fn each_listener_serves_its_own_routes() {
    let gateway = Gateway::start(
        r#"
        [server]
        listen = "127.0.0.1:0"
        [[listener]]
        name = "internal"
        address = ["127.0.0.1:0", "127.0.0.1:0"]
        [[route]]
        match = "/status"
        listeners = ["internal"]
        respond = { body = "for us" }
        [[route]]
        match = "/status"
        listeners = "default"
        respond = { body = "for all" }
        [[route]]
        match = "/everywhere"
        respond = { body = "hello" }
        [[route]]
        match = "/metrics"
        listeners = ["internal"]
        respond = { body = "counts" }
        "#,
    )
    .await;

    let expected = [("for all", 404), ("for us", 200), ("for us", 200)];
    assert_eq!(gateway.addresses().len(), expected.len());
    for (address, (status, metrics)) in gateway.addresses().iter().zip(expected) {
        let get = async |path| Request::to(*address, "GET", path).send().await;
        assert_eq!(get("/status").await.text(), status);
        assert_eq!(get("/everywhere").await.text(), "hello");
        assert_eq!(get("/metrics").await.status(), metrics);
    }
}

#[tokio::test]
async fn a_reload_moves_routes_between_listeners() {
    let configuration = |listener: &str| {
        format!(
            "[[listener]]\nname = 'one'\naddress = '127.0.0.1:0'\n[[listener]]\nname = 'two'\naddress = '127.0.0.1:0'\n\
             [[route]]\nmatch = '/'\nlisteners = '{listener}'\nrespond = {{ body = 'hello' }}\n"
        )
    };
    let gateway = Gateway::start(configuration("one")).await;
    let mut kept = [
        Connection::http1(gateway.addresses()[0]).await,
        Connection::http1(gateway.addresses()[1]).await,
    ];
    assert_eq!(
        (kept[0].get("/").await.status(), kept[1].get("/").await.status()),
        (200, 404)
    );

    gateway.reload_with(configuration("two")).await;

    assert_eq!(
        (kept[0].get("/").await.status(), kept[1].get("/").await.status()),
        (404, 200)
    );
}

#[tokio::test]
async fn addresses_wait_for_a_new_start_and_an_old_listener_goes_on() {
    let rest = "[[listener]]\naddress = '127.0.0.1:0'\n[[route]]\nmatch = '/'\nrespond = { body = 'hello' }\n";
    let gateway = Gateway::start(format!(
        "[[listener]]\nname = 'extra'\naddress = '127.0.0.1:0'\n{rest}\
         [[route]]\nmatch = '/own'\nlisteners = 'extra'\nrespond = {{ body = 'own' }}\n"
    ))
    .await;
    assert_eq!(gateway.get("/own").await.text(), "own");

    gateway.reload_with(rest).await;

    gateway.log_line(&["where listeners listen", "started again"]).await;
    assert_eq!(gateway.get("/").await.text(), "hello");
    assert_eq!(gateway.get("/own").await.status(), 404);
}

#[tokio::test]
async fn routes_may_tie_where_no_listener_serves_both() {
    let tie = |listeners: &str| {
        Gateway::checked(format!(
            "[[listener]]\nname = 'one'\naddress = '127.0.0.1:0'\n[[listener]]\nname = 'two'\naddress = '127.0.0.1:0'\n\
             [[route]]\nmatch = '/a'\nlisteners = 'one'\nrespond = {{}}\n\
             [[route]]\nmatch = '/a'\n{listeners}\nrespond = {{}}\n"
        ))
    };
    assert_eq!(tie("listeners = 'two'").code, 0);
    for listeners in ["", "listeners = ['two', 'one']"] {
        let ran = tie(listeners);
        assert!(
            ran.code == 1 && ran.stderr.contains("two routes match the same requests"),
            "{ran:?}"
        );
    }
}

#[tokio::test]
async fn explain_and_routes_know_listeners() {
    let folder = Folder::new();
    folder.write(
        "portcullis.toml",
        "version = 1\n[server]\nlisten = '127.0.0.1:0'\n[[listener]]\nname = 'internal'\naddress = '127.0.0.1:0'\n\
         [[route]]\nname = 'counts'\nmatch = '/counts'\nlisteners = 'internal'\nrespond = {}\n",
    );
    let run = |arguments: &[&str]| portcullis_in(folder.path(), &[arguments, &["-c", "portcullis.toml"]].concat());

    let inside = run(&["explain", "GET", "/counts", "--listener", "internal", "--json"]).json();
    assert_eq!(inside["route"]["name"], "counts");
    let outside = run(&["explain", "GET", "/counts"]);
    assert!(outside.stdout.contains("404") && outside.stdout.contains("only on the listener `internal`"));
    let unknown = run(&["explain", "GET", "/counts", "--listener", "intern"]);
    assert!(
        unknown.code == 3 && unknown.stderr.contains("default, internal"),
        "{unknown:?}"
    );
    assert_eq!(run(&["routes", "--json"]).json()[0]["listeners"][0], "internal");
}

#[tokio::test]
async fn clients_may_come_over_a_unix_socket() {
    if !has_program("curl") {
        return;
    }
    let folder = Folder::new();
    let path = folder.path().join("portcullis.sock");
    // One that a gateway has left behind, and nobody listens on.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let configuration = format!(
        "[[listener]]\naddress = 'unix:{}'\nmode = '0600'\n[[route]]\nmatch = '/'\nrespond = {{ body = 'hello' }}\n",
        path.display()
    );
    let gateway = Gateway::start_in(folder, &configuration, &[]).await;

    for option in ["--http1.1", "--http2-prior-knowledge"] {
        let socket = path.to_str().expect("a path");
        let answer = curl(&[option, "--unix-socket", socket, "http://localhost/"]).await;
        assert!(answer.text.ends_with("hello"), "{answer:?}");
    }

    assert_eq!(gateway.logged(|line| line["path"] == "/").await["client"], "127.0.0.1");
    let mode = std::fs::metadata(&path).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = Gateway::refused_for_the_machine(&configuration).await;
    assert!(second.contains("somebody listens there already"), "{second}");
    assert!(path.exists());
    assert_eq!(gateway.stop().await, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn clients_may_come_over_ipv6() {
    let gateway = Gateway::start(
        "[[listener]]\naddress = ['[::1]:0', '127.0.0.1:0']\n[[route]]\nmatch = '/'\nrespond = { body = 'hello' }\n",
    )
    .await;

    for address in gateway.addresses() {
        assert_eq!(Request::to(*address, "GET", "/").send().await.text(), "hello");
    }
    assert!(gateway.addresses()[0].is_ipv6());
    gateway.logged(|line| line["client"] == "::1").await;
}

#[tokio::test]
async fn plain_http_may_be_sent_to_https() {
    for (setting, port) in [("true", ""), ("8443", ":8443")] {
        let gateway = Gateway::start(format!(
            "[[listener]]\naddress = '127.0.0.1:0'\nredirect_to_https = {setting}\n\
             [[route]]\nmatch = '/'\nrespond = {{ body = 'never seen' }}\n"
        ))
        .await;

        let request = gateway
            .request("POST", "/a/./b%20c?d=e%2F&f")
            .header("host", "Shop.example:8080");
        let response = request.body("x").send().await;

        assert_eq!(response.status(), 308);
        assert_eq!(
            response.header("location"),
            format!("https://shop.example{port}/a/b%20c?d=e%2F&f")
        );
        let line = gateway.logged(|line| line["status"] == 308).await;
        assert_eq!(
            (&line["outcome"], &line["route"]),
            (&"redirected".into(), &"redirect-to-https".into())
        );
        let nameless = gateway.raw().await.answer_to("GET / HTTP/1.0\r\n\r\n").await;
        assert!(
            nameless.starts_with("HTTP/1.1 400") || nameless.starts_with("HTTP/1.0 400"),
            "{nameless}"
        );
    }
}

#[tokio::test]
async fn http_2_can_be_switched_off() {
    if !has_program("curl") {
        return;
    }
    let gateway = Gateway::start(
        "[[listener]]\naddress = '127.0.0.1:0'\nhttp2 = false\n[[route]]\nmatch = '/'\nrespond = { body = 'hello' }\n",
    )
    .await;

    let url = format!("http://{}/", gateway.address());
    let answer = curl(&["--http2-prior-knowledge", &url]).await;

    assert!(answer.code != 0, "{answer:?}");
    assert_eq!(gateway.get("/").await.text(), "hello");
}
