//! Finding a route among 10, 1,000 and 10,000, and bringing a path into its normal form.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use portcullis::router::{Found, Lookup, PathRules, Pattern, Router, normalise};

/// As a team's routes look: for each service, its collection, one of its items, an item's part, and the rest of it.
fn patterns(count: usize) -> Vec<Pattern> {
    let service = |index: usize| {
        let name = format!("/api/v{}/service-{}", index % 3, index / 4);
        let text = match index % 4 {
            0 => format!("GET,POST {name}"),
            1 => format!("GET,PUT,DELETE {name}/{{id}}"),
            2 => format!("GET {name}/{{id}}/orders/{{order}}"),
            _ => format!("{name}/files/{{rest...}}"),
        };
        Pattern::parse(&text).expect("a well-formed pattern")
    };
    (0..count).map(service).collect()
}

/// A path that the pattern matches.
fn path(pattern: &Pattern) -> String {
    let text = pattern.to_string();
    let path = text.split_once(' ').map_or(&*text, |(_, path)| path);
    path.replace("{id}", "8417")
        .replace("{order}", "77")
        .replace("{rest...}", "a/b.txt")
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("router");
    for count in [10, 1_000, 10_000] {
        let patterns = patterns(count);
        let router = Router::build(patterns.iter().enumerate()).expect("no conflicts");
        let headers = HeaderMap::new();
        let mut measure = |name: &str, method: Method, paths: Vec<String>, expected: fn(&Found) -> bool| {
            let lookups: Vec<Lookup<'_>> = paths
                .iter()
                .map(|path| Lookup {
                    method: &method,
                    host: "api.example.com",
                    path,
                    query: None,
                    headers: &headers,
                })
                .collect();
            assert!(
                lookups.iter().all(|lookup| expected(&router.find(lookup))),
                "{name} finds what it should"
            );
            // A different route each time, so that the caches hold what they would in service.
            let mut next = lookups.iter().cycle();
            group.bench_function(BenchmarkId::new(name, count), |b| {
                b.iter(|| next.next().map(|lookup| router.find(black_box(lookup))));
            });
        };
        // A stride without common factors visits the routes in an order that the processor cannot foresee.
        let every = |part: usize| {
            let of_kind: Vec<String> = patterns.iter().skip(part).step_by(4).map(path).collect();
            (0..of_kind.len())
                .map(|index| of_kind[index * 7_919 % of_kind.len()].clone())
                .collect::<Vec<_>>()
        };
        let is_route = |found: &Found| matches!(found, Found::Route { .. });
        measure("literal", Method::GET, every(0), is_route);
        measure("one parameter", Method::GET, every(1), is_route);
        measure("two parameters", Method::GET, every(2), is_route);
        measure("rest", Method::GET, every(3), is_route);
        let missed = every(1).iter().map(|path| format!("{path}/nothing")).collect();
        measure("miss", Method::GET, missed, |found| *found == Found::NotFound);
        measure("other method", Method::PATCH, every(1), |found| {
            matches!(found, Found::MethodNotAllowed { .. })
        });
    }
    group.finish();
}

fn normal_form(c: &mut Criterion) {
    let mut group = c.benchmark_group("normalise");
    let rules = PathRules::default();
    for (name, path) in [
        ("already normal", "/api/v1/service-17/8417/orders/77"),
        ("normal and encoded", "/api/v1/caf%C3%A9/a%20b/orders/77"),
        ("dot segments", "/api/v1/./service-17/../service-18/77"),
        ("needless encoding", "/api/v1/service%2d17/%7euser/orders/77"),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| normalise(black_box(path), &rules).map(|path| path.len()));
        });
    }
    group.finish();
}

criterion_group!(benches, find, normal_form);
criterion_main!(benches);
