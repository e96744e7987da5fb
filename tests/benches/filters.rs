//! What filters cost: one phase call, a pristine instance for each call, and a pipeline of three both ways.

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis::bench::PipelineBench;

/// What a browser behind a proxy sends, more or less.
const HEADERS: [(&str, &str); 8] = [
    ("host", "localhost:8080"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/145.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("cookie", "session=4f1c2b7a9d; theme=dark"),
    ("x-internal", "yes"),
    ("x-access-tokens", "letmein"),
];

const EDIT: &str = r#"use = "edit-headers", settings = { request = { set = { x-gateway = "portcullis" }, append = { x-via = "a" }, remove = ["x-internal"] } }"#;
const TOKEN: &str = r#"use = "token-auth", settings = { tokens = ["letmein"] }"#;
const RATE: &str = r#"use = "rate-limit", settings = { rate = "100000000/s" }"#;
const BOTH: &str = r#"use = "edit-headers", settings = { request = { set = { x-gateway = "portcullis" }, remove = ["x-internal"] }, response = { set = { x-served-by = "portcullis" } } }"#;

fn pipeline(filters: &[&str]) -> PipelineBench {
    let filters: Vec<String> = filters.iter().map(|filter| format!("{{ {filter} }}")).collect();
    let configuration = format!(
        "version = 1\n[server]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[[route]]\nmatch = \"/{{rest...}}\"\nrespond = {{}}\nfilters = [{}]\n",
        filters.join(", ")
    );
    PipelineBench::new(&configuration, &HEADERS).unwrap_or_else(|problem| panic!("{problem}"))
}

fn filters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filters");
    let mut measure = |name: &str, filters: &[&str], back: bool| {
        let mut bench = pipeline(filters);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|requests| bench.pass(requests, back).unwrap_or_else(|turned| panic!("{turned}")));
        });
    };
    measure("none", &[], true);
    measure("one phase call, three header operations", &[EDIT], false);
    measure(
        "the same on a pristine instance",
        &[&format!("{EDIT}, reuse = 1")],
        false,
    );
    measure("token-auth", &[TOKEN], true);
    measure("rate-limit, both ways", &[RATE], true);
    measure("edit-headers, both ways", &[BOTH], true);
    measure("three filters, both ways", &[TOKEN, RATE, BOTH], true);
    group.finish();
}

criterion_group!(benches, filters);
criterion_main!(benches);
