//! The configurations in the README, run as they stand there but for their addresses.

use portcullis_tests::{Authority, Folder, Gateway, Raw, Request, TlsClient, free_address, repository, write_pair};

/// The configurations in the README that hold this line.
fn snippet(line: &str) -> String {
    let text = std::fs::read_to_string(repository().join("README.md")).expect("README.md");
    let blocks = text
        .split("```toml\n")
        .skip(1)
        .filter_map(|block| block.split("```").next());
    let mut found = blocks.filter(|block| block.contains(line));
    let block = found
        .next()
        .unwrap_or_else(|| panic!("the README has no such configuration: {line}"));
    assert!(found.next().is_none(), "several have this line: {line}");
    block.to_owned()
}

#[tokio::test]
async fn listeners_are_as_the_readme_has_them() {
    let (folder, authority) = (Folder::new(), Authority::new());
    write_pair(&folder, "shop", &authority.issue(&["shop.example"]));
    write_pair(&folder, "api", &authority.issue(&["api.example"]));
    let socket = folder.path().join("portcullis.sock");
    let mut text = snippet("redirect_to_https = true");
    for (written, here) in [
        (
            "\"0.0.0.0:443\", \"[::]:443\"",
            "\"127.0.0.1:0\", \"[::1]:0\"".to_owned(),
        ),
        (
            "\"0.0.0.0:80\", \"[::]:80\"",
            format!("\"{}\", \"[::1]:0\"", free_address()),
        ),
        ("/run/portcullis.sock", socket.display().to_string()),
    ] {
        assert!(text.contains(written), "{written} is not in the README any more");
        text = text.replace(written, &here);
    }
    let gateway = Gateway::start_in(folder, &text, &[]).await;

    let client = TlsClient::trusting(&authority);
    for (address, host) in gateway.secure_addresses().iter().zip(["shop.example", "api.example"]) {
        let (answer, _) = client.get(*address, host, "/status").await.expect("an answer");
        assert!(
            answer.starts_with("HTTP/1.1 404 "),
            "it is a route of the other listener: {answer}"
        );
    }
    for address in gateway.addresses() {
        let answer = Request::to(*address, "GET", "/a")
            .header("host", "shop.example")
            .send()
            .await;
        assert_eq!(
            (answer.status(), answer.header("location")),
            (308, "https://shop.example/a")
        );
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).expect("a socket").permissions());
    assert_eq!(mode & 0o777, 0o660);
    let announced =
        "PROXY TCP4 203.0.113.9 203.0.113.1 4711 80\r\nGET /status HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let stream = tokio::net::UnixStream::connect(&socket).await.expect("a connection");
    let answer = Raw::over_any(stream).answer_to(announced).await;
    assert!(answer.contains("\"well\":true"), "{answer}");
}

#[tokio::test]
async fn certificates_are_obtained_as_the_readme_has_it() {
    let folder = Folder::new();
    let store = folder.path().join("acme");
    let text = snippet("accept_terms = true");
    let text = text.replace("\"0.0.0.0:443\", \"[::]:443\"", "\"127.0.0.1:0\"");
    let text = text.replace("/var/lib/portcullis/acme", &store.display().to_string());
    // Not the authority that it names by default: nobody is there.
    let text = text.replace(
        "accept_terms = true",
        &format!("directory = 'https://{}/'\naccept_terms = true", free_address()),
    );

    let gateway = Gateway::start_in(folder, format!("{text}\n[[route]]\nmatch = '/'\nrespond = {{}}\n"), &[]).await;

    gateway
        .log_line(&["no certificate was obtained", "shop.example, www.shop.example"])
        .await;
    assert!(store.is_dir());
}
