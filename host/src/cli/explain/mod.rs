//! `portcullis explain`: what becomes of a request, without sending it.

mod backend;
mod filter;
mod nearest;
mod request;
mod text;

use std::path::PathBuf;

use clap::Args;
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde_json::{Map, Value};

use self::backend::Backend;
use self::filter::Filter;
use self::nearest::Nearest;
use self::request::{Asked, Target};
use super::build::build;
use super::output::{duration, print, shown};
use super::run::Failed;
use crate::gateway::{Gateway, GatewayListener};
use crate::router::{Found, Lookup, Params};

#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is sent. Settings are shown as written: `${env:..}` and `${file:..}` stay as they are.\n\n\
        Examples:\n  \
        portcullis explain GET /users/7 -c gateway.toml\n  \
        portcullis explain POST https://shop.example/orders -H 'x-tenant: acme' -c gateway.toml --json"
)]
pub(super) struct Arguments {
    /// The request's method, such as GET
    #[arg(value_parser = request::method)]
    method: Method,
    /// Its path, such as /users/7?page=2, or a whole URL
    #[arg(value_name = "URL", value_parser = Target::parse)]
    target: Target,
    /// A field of its header; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = request::header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The name of the listener that it comes to, or its first address where it has no name. Unless given, the first that
    /// speaks what the URL's scheme says
    #[arg(short, long, value_name = "NAME")]
    listener: Option<String>,
    /// The configuration
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints what becomes of the request.
pub(super) fn run(arguments: Arguments) -> Result<(), Failed> {
    let gateway = build(&arguments.config)?.gateway;
    let listener = listener(&gateway, arguments.listener.as_deref(), arguments.target.secure)?;
    let asked = Asked::new(arguments.method, arguments.target, arguments.headers);
    let explanation = explain(&gateway, listener, &asked);
    if arguments.json {
        let json = serde_json::to_value(&explanation).map_err(|error| Failed::Machine(error.to_string()))?;
        print(format_args!("{json:#}\n"));
    } else {
        print(&explanation);
        if let Answer::Refused(refused) = &explanation.answer
            && !refused.nearest.is_empty()
        {
            print(format_args!(
                "\n`portcullis routes -c {}` lists all routes\n",
                shown(&arguments.config)
            ));
        }
    }
    Ok(())
}

/// What becomes of a request.
#[derive(Debug, Serialize)]
struct Explanation {
    method: String,
    /// Where it comes in.
    listener: String,
    /// In lower case, without a port; empty where none was given.
    host: String,
    /// As asked for.
    requested: String,
    /// In its normal form, which is what is matched and forwarded.
    path: Option<String>,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Route(Box<Taken>),
    Refused(Refused),
}

/// The route that it takes.
#[derive(Debug, Serialize)]
struct Taken {
    name: String,
    #[serde(rename = "match")]
    matches: Vec<String>,
    place: String,
    parameters: Map<String, Value>,
    timeout: String,
    /// Bytes; none is no limit.
    body_size: Option<u64>,
    filters: Vec<Filter>,
    backend: Backend,
}

/// Why no route takes it.
#[derive(Debug, Serialize)]
struct Refused {
    status: u16,
    reason: String,
    nearest: Vec<Nearest>,
}

/// The listener of this name, or the first that speaks what the URL's scheme says, or else the first.
fn listener<'g>(gateway: &'g Gateway, name: Option<&str>, secure: Option<bool>) -> Result<&'g GatewayListener, Failed> {
    let mut all = gateway.listeners.iter();
    let fits = |one: &&GatewayListener| secure.is_none_or(|secure| one.settings.tls.is_some() == secure);
    let found = match name {
        Some(name) => gateway.listener(name),
        None => all.find(fits).or(gateway.listeners.first()),
    };
    found.ok_or_else(|| {
        let known: Vec<&str> = gateway.listeners.iter().map(|one| &*one.settings.name).collect();
        Failed::Machine(format!("no such listener; there are: {}", known.join(", ")))
    })
}

fn explain(gateway: &Gateway, listener: &GatewayListener, asked: &Asked) -> Explanation {
    let refused = |status, reason: String, nearest| {
        Answer::Refused(Refused {
            status,
            reason,
            nearest,
        })
    };
    let path = asked.normalised(&gateway.config.server.paths);
    let answer = match &path {
        Err(error) => refused(400, error.to_string(), Vec::new()),
        Ok(_) if listener.settings.redirect_to_https.is_some() => {
            let reason = format!("the listener `{}` sends every request to HTTPS", listener.settings.name);
            refused(308, reason, Vec::new())
        }
        Ok(path) => {
            let lookup = asked.lookup(path);
            let nearest = || nearest::nearest(&gateway.config.routes, &listener.settings.name, &lookup);
            match listener.router.find(&lookup) {
                Found::Route { route, params } => match taken(gateway, asked, &lookup, route, &params) {
                    Some(taken) => Answer::Route(Box::new(taken)),
                    None => refused(404, "no route matches".to_owned(), nearest()),
                },
                Found::MethodNotAllowed { allow } => refused(
                    405,
                    format!("the path is matched with other methods only: {allow}"),
                    nearest(),
                ),
                Found::NotFound => refused(404, "no route matches".to_owned(), nearest()),
            }
        }
    };
    Explanation {
        method: asked.method.to_string(),
        listener: listener.settings.name.to_string(),
        host: asked.host.clone(),
        requested: asked.requested(),
        path: path.ok().map(String::from),
        answer,
    }
}

fn taken(gateway: &Gateway, asked: &Asked, lookup: &Lookup<'_>, number: usize, params: &Params) -> Option<Taken> {
    let route = gateway.routes.get(number)?;
    let settings = &route.settings;
    Some(Taken {
        name: settings.name.to_string(),
        matches: settings.matches.iter().map(ToString::to_string).collect(),
        place: settings.place.to_string(),
        parameters: params
            .iter(lookup.path)
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
        timeout: duration(settings.timeout),
        body_size: settings.body_size.unwrap_or(gateway.config.server.limits.body_size),
        filters: route.filters.iter().map(Filter::of).collect(),
        backend: Backend::of(&gateway.config, settings, asked, lookup, params)?,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::cli::build::build_loaded;
    use crate::config;

    const CONFIGURATION: &str = r#"
version = 1

[server]
listen = "127.0.0.1:0"

[upstream.users]
targets = ["http://127.0.0.1:9001", { url = "http://127.0.0.1:9002", weight = 2 }]

[filter.signed-in]
use = "token-auth"
settings = { tokens = ["${env:PATH}"], header = "x-token" }

[[route]]
name = "one-user"
match = "GET api.example/users/{id}"
to = "users"
rewrite = { path = "/v2/{id}" }
filters = ["signed-in", { use = "request-id", on_failure = "skip" }]

[[route]]
match = "/old/{rest...}"
redirect = "https://new.example/{rest}"

[[route]]
match = { path = "/tenant", headers = { x-tenant = "acme" } }
respond = { json = { secret = "${env:PATH}" } }
"#;

    fn explained(method: &str, url: &str, headers: &[&str]) -> (String, Value) {
        let loaded = config::load_text("gateway.toml", CONFIGURATION, Path::new("."), &crate::cli::standard());
        let built = build_loaded(loaded.unwrap().config, Vec::new()).unwrap();
        let headers = headers.iter().map(|header| request::header(header).unwrap()).collect();
        let asked = Asked::new(request::method(method).unwrap(), Target::parse(url).unwrap(), headers);
        let explanation = explain(&built.gateway, &built.gateway.listeners[0], &asked);
        (explanation.to_string(), serde_json::to_value(&explanation).unwrap())
    }

    #[test]
    fn a_route_is_explained_from_match_to_target() {
        let (text, json) = explained("get", "https://API.example:443/users/./7?x=1", &[]);

        let expected = "\
GET api.example/users/./7?x=1

route     one-user                                gateway.toml:14:1
match     GET api.example/users/{id}
path      /users/7                                in its normal form
          id = 7
limits    timeout 1m, body 10 MiB

filters, in this order; responses pass them in reverse
1. signed-in                                      gateway.toml:10:9
   plugin   token-auth (standard)
   phases   request
   settings tokens = [\"${env:PATH}\"]              gateway.toml:12:14
            header = \"x-token\"                    gateway.toml:12:40
   limits   memory 16 MiB, cpu 10ms, time 1s, body 1 MiB
   failure  reject
2. request-id                                     gateway.toml:19:25
   plugin   request-id (standard)
   phases   request
   limits   memory 16 MiB, cpu 10ms, time 1s, body 1 MiB
   failure  skip

backend   upstream users, least-request over http/1.1
target    http://127.0.0.1:9001
          http://127.0.0.1:9002, weight 2
sends     GET /v2/7?x=1, host API.example:443
";
        assert_eq!(text, expected);
        assert_eq!(json["route"]["filters"][0]["settings"][1]["key"], "header");
        assert_eq!(json["route"]["backend"]["path"], "/v2/7?x=1");
    }

    #[test]
    fn no_secret_is_shown() {
        let path = std::env::var("PATH").unwrap();
        for (url, headers) in [
            ("http://api.example/users/7", &[][..]),
            ("/tenant", &["x-tenant: acme"]),
        ] {
            let (text, json) = explained("GET", url, headers);
            assert!(!text.contains(&path) && !json.to_string().contains(&path), "{text}");
        }
    }

    #[test]
    fn a_redirect_shows_where_it_leads() {
        let (text, json) = explained("GET", "/old/a/b?c=d", &[]);
        assert!(
            text.contains("backend   redirect 308 to https://new.example/a/b?c=d\n"),
            "{text}"
        );
        assert_eq!(json["route"]["parameters"], json!({ "rest": "a/b" }));
    }

    #[test]
    fn a_refusal_names_status_and_nearest_routes() {
        for (method, url, status, why) in [
            ("DELETE", "http://api.example/users/7", "405", "only for GET"),
            (
                "GET",
                "http://www.example/users/7",
                "404",
                "only for the host `api.example`",
            ),
            (
                "GET",
                "http://api.example/users/7/",
                "404",
                "without the slash at the end",
            ),
            ("GET", "/tenant", "404", "only with x-tenant: acme"),
            ("GET", "/tennant", "404", "another path"),
            ("GET", "/a%2Fb", "400", "encoded slash"),
        ] {
            let (text, json) = explained(method, url, &[]);
            assert!(text.contains(status) && text.contains(why), "{method} {url}: {text}");
            assert_eq!(json["refused"]["status"].to_string(), status);
        }
    }
}
