//! How long the filters of a route take on one request.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use http::StatusCode;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use remora::filter::{ClientFacts, Cors, Forwarding, is_request_id};

const SITE: &str = "
routes: { /: { to: pool, cors: { origins: [https://a.example.com, https://b.example.com], credentials: true } } }
upstreams: { pool: { servers: 127.0.0.1:8000 } }
";

fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn cors(c: &mut Criterion) {
    let loaded = remora::config::load_text(Path::new("bench.yaml"), SITE.to_owned(), &|_| None).unwrap();
    let cors = Cors::new(loaded.config.site.routes[0].response.cors.as_ref().unwrap());
    let origin = HeaderValue::from_static("https://b.example.com");
    let asked = headers(&[(ORIGIN, "https://b.example.com"), (ACCESS_CONTROL_REQUEST_METHOD, "PUT")]);
    let answer = cors.preflight("OPTIONS", &asked).unwrap();
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "the origin is allowed");
    let mut group = c.benchmark_group("CORS");
    group.bench_function("answer a preflight", |b| b.iter(|| cors.preflight("OPTIONS", black_box(&asked))));
    group.bench_function("edit an answer", |b| b.iter(|| cors.edits(black_box(Some(origin.as_bytes())))));
    group.finish();
}

fn forwarding(c: &mut Criterion) {
    let facts =
        ClientFacts { address: "10.0.0.9".parse().unwrap(), text: "10.0.0.9", scheme: "http", host: "app.example.com" };
    let claims = headers(&[
        (HeaderName::from_static("x-forwarded-for"), "203.0.113.7, 10.0.0.8"),
        (HeaderName::from_static("x-forwarded-proto"), "https"),
    ]);
    let mut group = c.benchmark_group("forwarded fields");
    for (name, trusted) in [("of a client", vec![]), ("behind a trusted proxy", vec!["10.0.0.0/8".parse().unwrap()])] {
        let forwarding = Forwarding::new(trusted);
        let mut count = 0;
        forwarding.apply(&facts, &claims, &mut |_, _| count += 1);
        assert_eq!(count, 4, "every field is set");
        group.bench_function(name, |b| {
            b.iter(|| {
                forwarding.apply(black_box(&facts), black_box(&claims), &mut |name, value| {
                    black_box((name, value));
                });
            });
        });
    }
    group.bench_function("is a request id", |b| {
        b.iter(|| is_request_id(black_box(b"8f14e45fceea167a5a36dedd4bea2543")));
    });
    group.finish();
}

criterion_group!(benches, cors, forwarding);
criterion_main!(benches);
