//! How long it takes to find a route, by number of routes, and to bring a path into normal form.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use remora::config::model::RouteId;
use remora::plan::{Asked, Walk};
use remora::routing::normal_path;
use remora::snapshot::Program;

/// `/` and `/r/N/items`, so many in all; with a host of its own each, or with none.
fn program(count: usize, with_hosts: bool) -> Program {
    let route = |number: usize| {
        let host = if with_hosts { format!("app{number}.example.com") } else { String::new() };
        let path = if number == 0 { "/".to_owned() } else { format!("/r/{number}/items") };
        format!("  {host}{path}: pool\n")
    };
    let routes: String = (0..count).map(route).collect();
    let text = format!("routes:\n{routes}upstreams: {{ pool: 127.0.0.1:8000 }}\n");
    let loaded = remora::config::load_text(Path::new("bench.yaml"), text, &|_| None).unwrap();
    Program::new(&loaded.config.site)
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("find a route");
    for count in [1, 100, 10_000] {
        let (any, hosts) = (program(count, false), program(count, true));
        let path = format!("/r/{}/items/7", count / 2);
        let host = format!("app{}.example.com", count / 2);
        let asked = Asked { listener: 0, method: "GET", host: &host, path: &path, needs_host: true, length: None };
        let expected = RouteId(u32::try_from(count / 2).unwrap());
        assert_eq!(Walk::start(&any, &asked).route(), expected, "the bench looks for what is there");
        assert_eq!(Walk::start(&hosts, &asked).route(), expected, "the bench looks for what is there");
        group.bench_function(BenchmarkId::new("by path", count), |b| b.iter(|| Walk::start(&any, black_box(&asked))));
        group.bench_function(BenchmarkId::new("by host and path", count), |b| {
            b.iter(|| Walk::start(&hosts, black_box(&asked)));
        });
    }
    group.finish();
}

fn normal(c: &mut Criterion) {
    let mut group = c.benchmark_group("normal form of a path");
    for (name, path) in [("usual", "/api/v1/users/7/posts"), ("escaped", "/api/caf%C3%A9//./users/../posts")] {
        normal_path(path).unwrap();
        group.bench_function(name, |b| b.iter(|| normal_path(black_box(path))));
    }
    group.finish();
}

criterion_group!(benches, find, normal);
criterion_main!(benches);
