//! How long it takes to claim a backend and give it back, by number of backends.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use remora::telemetry::Metrics;
use remora::upstream::{SystemResolver, Upstream, UpstreamTools};
use tokio::sync::watch;

/// An upstream without checks: everyone is up, nobody listens.
async fn upstream(backends: usize) -> Arc<Upstream> {
    let servers: Vec<_> = (0..backends).map(|number| format!("\"127.0.0.1:{}\"", 10_000 + number)).collect();
    let file =
        format!("routes: {{ /: pool }}\nupstreams: {{ pool: {{ check: off, servers: [{}] }} }}", servers.join(", "));
    let loaded = remora::config::load_text(Path::new("bench.yaml"), file, &|_| None).unwrap();
    let spec = Arc::clone(loaded.config.site.upstreams.values().next().unwrap());
    let tools = UpstreamTools {
        resolver: Arc::new(SystemResolver::default()),
        metrics: Metrics::new().unwrap(),
        changed: Arc::new(watch::Sender::new(0)),
    };
    let upstream = Upstream::start(spec, tools, None);
    upstream.ready(Duration::from_secs(10)).await;
    upstream
}

fn select(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut group = c.benchmark_group("claim a backend");
    for count in [2, 100, 1000] {
        let upstream = runtime.block_on(upstream(count));
        assert_eq!(upstream.backends().len(), count, "every backend is there");
        let tried = [upstream.select(&[]).unwrap().backend().address()];
        group.bench_function(BenchmarkId::new("first", count), |b| b.iter(|| upstream.select(black_box(&[])).unwrap()));
        group.bench_function(BenchmarkId::new("after a failure", count), |b| {
            b.iter(|| upstream.select(black_box(&tried)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, select);
criterion_main!(benches);
