//! What the demo prints: where it listens, and what is worth typing.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::services::Services;

/// One token of `config/demo.toml`.
const TOKEN: &str = "demo-token";

/// What is listening, and lines to type with what each shows.
pub(super) fn lines(gateway: SocketAddr, admin: Option<SocketAddr>, services: &Services) -> String {
    let url = format!("http://{}", reachable(gateway));
    let mut text = String::from("\nThree services, and the gateway before them.\n\n");
    let _ = writeln!(text, "  gateway    {url}");
    if let Some(admin) = admin {
        let _ = writeln!(text, "  metrics    http://{}/metrics", reachable(admin));
    }
    for (name, address) in [
        ("users", services.users),
        ("orders", services.orders),
        ("inventory", services.inventory),
    ] {
        let _ = writeln!(text, "  {name:10} http://{address}");
    }
    text.push_str("\nType these in another terminal. Every request is logged here, one line of JSON each. Ctrl-C ends the demo.\n");
    for (comment, line) in worth_typing(&url) {
        let _ = write!(text, "\n# {comment}\n{line}\n");
    }
    text.push('\n');
    text
}

fn worth_typing(url: &str) -> Vec<(&'static str, String)> {
    let orders = format!("'{url}/orders?user=1'");
    let token = format!("-H 'x-access-tokens: {TOKEN}'");
    let order = r#"-H 'content-type: application/json' -d '{"user": 1, "sku": "tea", "count": 2}'"#;
    let preflight = "-X OPTIONS -H 'Origin: https://shop.example' -H 'Access-Control-Request-Method: GET'";
    vec![
        (
            "200: a user, with a request id that the gateway gave",
            format!("curl -i {url}/users/1"),
        ),
        ("401: orders ask for a token (token-auth)", format!("curl -i {orders}")),
        ("200: and here it is", format!("curl -i {token} {orders}")),
        (
            "201: an order, passed on to its service",
            format!("curl -i {token} {order} {url}/orders"),
        ),
        (
            "200, and 429 from the sixth on: five a minute for each client (rate-limit)",
            format!("curl -i {url}/stock/tea"),
        ),
        (
            "the service links to users.internal: rewritten as the body streams by (rewrite-body)",
            format!("curl -i {url}/users"),
        ),
        (
            "one answer from three services: a user, the orders, and what is left of what they order (aggregate)",
            format!("curl -i {url}/home/1"),
        ),
        (
            "204: the gateway answers what browsers ask first (cors)",
            format!("curl -i {preflight} {url}/users/1"),
        ),
        (
            "which route a request takes, through which filters, and where each setting is written",
            explain(url),
        ),
    ]
}

/// The configuration is at hand in the repository, and elsewhere inside of this program.
fn explain(url: &str) -> String {
    let program = program();
    let explain = |file: &str| format!("{program} explain GET {url}/orders -c {file}");
    if Path::new("config/demo.toml").is_file() {
        explain("config/demo.toml")
    } else {
        format!("{program} demo --print-config > demo.toml && {}", explain("demo.toml"))
    }
}

/// This program as it can be typed here: cargo does not put what it builds where a shell finds it.
fn program() -> String {
    let from_here = || {
        let path = std::env::current_exe().ok()?;
        let here = std::env::current_dir().ok()?;
        let below = path.strip_prefix(here).ok()?.to_str()?.to_owned();
        (!below.contains(' ')).then_some(below)
    };
    from_here().unwrap_or_else(|| "portcullis".to_owned())
}

/// An address that can be connected to: `0.0.0.0` is where one listens, not where one calls.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_call_the_address_that_is_listened_on() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let services = Services {
            users: address,
            orders: address,
            inventory: address,
        };

        let text = lines(SocketAddr::from(([0, 0, 0, 0], 8000)), None, &services);

        let curls: Vec<&str> = text.lines().filter(|line| line.starts_with("curl ")).collect();
        assert!(curls.len() >= 5, "{text}");
        assert!(
            curls.iter().all(|line| line.contains("http://127.0.0.1:8000/")),
            "{text}"
        );
        assert_eq!(text.matches("curl ").count(), curls.len(), "{text}");
        assert!(text.contains(" explain GET http://127.0.0.1:8000/orders -c "), "{text}");
    }
}
