//! How long the head of a request, an answer's head and a body in chunks take to be read.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use remora::http1::{Chunked, ChunkedForm, HeadLimits, RequestHead, ResponseHead, Scan};

const LIMITS: HeadLimits = HeadLimits { size: 32 << 10, fields: 100, target: 8 << 10 };

fn browser() -> String {
    let fields = [
        "Host: app.example.com",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-GB,en;q=0.9",
        "Connection: keep-alive",
        "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark",
        "Referer: https://app.example.com/",
        "Sec-Fetch-Mode: navigate",
    ];
    format!("GET /api/v1/users/7/posts?page=2 HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n"))
}

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("request head");
    for (name, text) in [("short", "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()), ("of a browser", browser())] {
        let bytes = text.as_bytes();
        let mut head = RequestHead::default();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let length = Scan::default().end(black_box(bytes), LIMITS).unwrap().unwrap();
                head.read(&bytes[..length], LIMITS).unwrap();
                head.framing
            });
        });
    }
    group.finish();
}

fn answers(c: &mut Criterion) {
    let text = "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Type: application/json\r\n\
                Content-Length: 200\r\nETag: \"8f14e45f\"\r\nCache-Control: no-cache\r\n\r\n";
    let mut head = ResponseHead::default();
    c.bench_function("answer head", |b| {
        b.iter(|| {
            assert!(head.read(black_box(text.as_bytes()), false).unwrap());
            head.framing
        });
    });
}

fn chunks(c: &mut Criterion) {
    let mut group = c.benchmark_group("64 KiB in chunks of 4 KiB");
    let piece = "x".repeat(4096);
    for (name, extension) in [("plain", ""), ("with extensions", ";name=value")] {
        let mut body: String = (0..16).map(|_| format!("1000{extension}\r\n{piece}\r\n")).collect();
        body.push_str("0\r\n\r\n");
        group.throughput(Throughput::Bytes(body.len() as u64));
        let mut bytes = body.clone().into_bytes();
        group.bench_function(name, |b| {
            b.iter(|| {
                bytes.copy_from_slice(body.as_bytes());
                let rewritten = Chunked::new(ChunkedForm::Chunks).rewrite(black_box(&mut bytes)).unwrap();
                assert_eq!(rewritten.read, body.len());
                rewritten.written
            });
        });
    }
    group.finish();
}

criterion_group!(benches, requests, answers, chunks);
criterion_main!(benches);
