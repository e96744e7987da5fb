use super::*;
use crate::testing::Exchange;
use crate::{Failure, Filter, NoSettings, Outcome};

/// Fills its template into a field.
struct Fill(Template);

impl Filter for Fill {
    type Settings = NoSettings;

    fn new(_: NoSettings) -> Result<Self, SettingsError> {
        Err("a test makes it".into())
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        if let Some(filled) = self.0.fill(request) {
            request.set_header("x-filled", filled)?;
        }
        Ok(Outcome::Continue)
    }
}

fn filled(template: &str, exchange: &Exchange) -> Option<Vec<u8>> {
    let ran = exchange.run(&Fill(template.parse().unwrap()));
    ran.request().header("x-filled").map(|value| value.into_bytes())
}

#[test]
fn a_template_is_filled_from_the_exchange() {
    let exchange = Exchange::get("/users/7")
        .client_address("192.0.2.7")
        .path_parameter("id", "7")
        .route("users")
        .note("jwt:sub", "u7")
        .note("plan.name", "gold")
        .header("user-agent", &b"caf\xe9"[..]);
    for (template, value) in [
        ("{client-address}", &b"192.0.2.7"[..]),
        ("user={jwt.sub};plan={note.plan.name}", b"user=u7;plan=gold"),
        ("{path.id}/{route}", b"7/users"),
        ("<{header.User-Agent}>", b"<caf\xe9>"),
        ("{{not}} a placeholder", b"{not} a placeholder"),
        ("{{{route}}}", b"{users}"),
    ] {
        assert_eq!(filled(template, &exchange).as_deref(), Some(value), "{template}");
    }
    assert_eq!(filled("{route} {jwt.email}", &exchange), None);
    assert_eq!(filled("{header.x-none}", &exchange), None);
}

#[test]
fn the_request_id_is_the_noted_one_or_else_the_exchanges_own() {
    let own = filled("{request-id}", &Exchange::get("/")).unwrap();
    assert_eq!(
        own,
        Exchange::get("/")
            .run(&Fill("x".parse().unwrap()))
            .request()
            .id()
            .as_bytes()
    );
    let noted = Exchange::get("/").note("request-id", "from-client");
    assert_eq!(filled("{request-id}", &noted).unwrap(), b"from-client");
}

#[test]
fn without_placeholders_nothing_is_put_together() {
    let constant: Template = "a {{b}}".parse().unwrap();
    assert_eq!(constant.parsed, Parsed::Constant("a {b}".into()));
    assert_eq!(serde_json::to_value(constant).unwrap(), "a {{b}}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (wrong, says) in [
        ("{user}", "`{user}` is no placeholder, there are client-address, "),
        ("{path.}", "`{path.}` is no placeholder"),
        ("{}", "`{}` is no placeholder"),
        ("{route", "a brace is without its other half"),
        ("a}b", "a brace is without its other half"),
        ("{header.a b}", "`a b` is no header field name"),
        ("a\nb", "control characters"),
    ] {
        let error = serde_json::from_value::<Template>(wrong.into())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("`{wrong}` is no template: ")) && error.contains(says),
            "{error}"
        );
    }
}
