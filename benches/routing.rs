//! How long it takes to find a route, by number of routes, and to bring a path into normal form.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use remora::routing::{RouteTable, normal_path};
use remora::types::{HostPattern, PathPrefix};

/// `/` and `/r/N/items`, so many in all; with a host of its own each, or with none.
fn table(count: usize, with_hosts: bool) -> RouteTable<usize> {
    let routes: Vec<(Option<HostPattern>, PathPrefix)> = (0..count)
        .map(|number| {
            let path = if number == 0 { "/".to_owned() } else { format!("/r/{number}/items") };
            let host = with_hosts.then(|| HostPattern::parse(&format!("app{number}.example.com")).unwrap());
            (host, PathPrefix::parse(&path).unwrap())
        })
        .collect();
    RouteTable::new(routes.iter().enumerate().map(|(number, (host, path))| (host.as_ref(), path, number)))
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("find a route");
    for count in [1, 100, 10_000] {
        let (any, hosts) = (table(count, false), table(count, true));
        let path = format!("/r/{}/items/7", count / 2);
        let host = format!("app{}.example.com", count / 2);
        assert_eq!(any.find(&host, &path), Some(&(count / 2)), "the bench looks for what is there");
        assert_eq!(hosts.find(&host, &path), Some(&(count / 2)), "the bench looks for what is there");
        group.bench_function(BenchmarkId::new("by path", count), |b| {
            b.iter(|| any.find(black_box(&host), black_box(&path)));
        });
        group.bench_function(BenchmarkId::new("by host and path", count), |b| {
            b.iter(|| hosts.find(black_box(&host), black_box(&path)));
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
