//! Which upstream answers, and what it is told.

use http::{Method, StatusCode};

use crate::harness::{Client, Origin, TestEdge, raw, scheme};

#[tokio::test]
async fn the_longest_path_wins_on_whole_segments() {
    let (web, api, v2) = (Origin::named("web").await, Origin::named("api").await, Origin::named("v2").await);
    let edge = TestEdge::start(&format!(
        "routes:\n  /: web\n  /api/*: api\n  /api/v2: v2\nupstreams:\n  web: {{ servers: {} }}\n  api: {{ servers: {} }}\n  v2: {{ servers: {} }}\n",
        web.server(), api.server(), v2.server()
    ))
    .await;
    let client = edge.client();
    for (path, name) in [
        ("/", "web"),
        ("/apiary", "web"),
        ("/api", "api"),
        ("/api/x?y=1", "api"),
        ("/api/v2", "v2"),
        ("/api/v2/x", "v2"),
        ("/api/v2x", "api"),
        ("//api/x", "api"),
        ("/x/../api", "api"),
        ("/%61pi/", "api"),
        ("/api/..%2fx", "web"),
    ] {
        assert_eq!(client.get(path).await.body, name, "{path}");
    }
    assert_eq!(api.seen()[1].target, "/api/x?y=1", "the backend gets what the client sent");
}

#[tokio::test]
async fn hosts_choose_first() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let edge = TestEdge::start(&format!(
        "routes:\n  a.test/: a\n  \"*.b.test/\": b\nupstreams:\n  a: {{ servers: {} }}\n  b: {{ servers: {} }}\n",
        a.server(),
        b.server()
    ))
    .await;
    // HTTP/2 says the host in `:authority`.
    let client = Client::new(edge.address);
    for (host, status, body) in
        [("a.test", 200, "a"), ("A.test:80", 200, "a"), ("x.b.test", 200, "b"), ("c.test", 404, "")]
    {
        let answer = client.send(Method::GET, "/", &[("host", host)], "").await;
        assert_eq!(answer.status.as_u16(), status, "{host}");
        assert!(body.is_empty() || answer.body == body, "{host}: {}", answer.body);
    }
}

#[tokio::test]
async fn strip_removes_the_routes_own_path() {
    let api = Origin::named("api").await;
    let edge = TestEdge::start(&format!(
        "routes:\n  /api: {{ to: api, strip: true }}\nupstreams:\n  api: {{ servers: {} }}\n",
        api.server()
    ))
    .await;
    for path in ["/api", "/api/", "/api/v1/x?q=%20", "//api//v1", "/%61pi/a b".replace(' ', "%20").as_str()] {
        assert_eq!(edge.client().get(path).await.status, StatusCode::OK, "{path}");
    }
    let targets: Vec<_> = api.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/", "/", "/v1/x?q=%20", "/v1", "/a%20b"]);
}

#[tokio::test]
async fn the_backend_is_told_about_the_client() {
    let api = Origin::named("api").await;
    let edge =
        TestEdge::start(&format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: {} }}\n", api.server())).await;
    let sent = [
        ("host", "app.test"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("connection", "x-secret"),
        ("x-secret", "1"),
        ("x-request-id", "abc-1"),
    ];
    let answer = Client::new(edge.address).send(Method::GET, "/", &sent, "").await;
    let seen = &api.seen()[0].headers;
    for (name, value) in [
        ("host", "app.test"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", scheme()),
        ("x-forwarded-host", "app.test"),
        ("x-real-ip", "127.0.0.1"),
        ("x-request-id", "abc-1"),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    for name in ["x_forwarded_for", "forwarded", "x-secret"] {
        assert!(!seen.contains_key(name), "{name}");
    }
    assert_eq!(answer.header("x-request-id"), "abc-1");
    let made = edge.client().send(Method::GET, "/", &[("x-request-id", "not plain!")], "").await;
    assert_eq!(made.header("x-request-id").len(), 32);
}

/// Whatever it calls itself, what only a proxy may say is not taken from a client, by HTTP/1.1 or HTTP/2.
#[tokio::test]
async fn what_only_a_proxy_may_say_is_taken_from_a_trusted_one_alone() {
    const SAID: [&str; 14] = [
        "forwarded",
        "x-forwarded",
        "x-forwarded-client-cert",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-protocol",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-forwarded-ssl",
        "x-client-ip",
        "cf-connecting-ip",
        "true-client-ip",
        "x-original-url",
        "x-scheme",
    ];
    let site = |api: &Origin| format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: {} }}\n", api.server());
    for trusted in ["", "trusted_proxies: [127.0.0.0/8]"] {
        let api = Origin::named("api").await;
        let edge = TestEdge::start_with(trusted, &site(&api)).await;
        for client in [edge.client(), Client::http2(edge.address)] {
            let sent: Vec<_> = SAID.iter().map(|name| (*name, "x")).chain([("x-mine", "x")]).collect();
            assert_eq!(client.send(Method::GET, "/", &sent, "").await.status, 200);
        }
        for seen in api.seen() {
            assert_eq!(seen.headers["x-mine"], "x");
            for name in SAID {
                assert_eq!(seen.headers.contains_key(name), !trusted.is_empty(), "{name}");
            }
        }
        assert_eq!(api.count(), 2);
    }
}

#[tokio::test]
async fn the_clients_address_is_understood_with_a_port_too() {
    let api = Origin::named("api").await;
    let site = format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: {} }}\n", api.server());
    let edge = TestEdge::start_with("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]", &site).await;
    for claimed in ["203.0.113.7:51008", "203.0.113.7:51008, 10.0.0.6", "[203.0.113.7],,", "203.0.113.7"] {
        edge.client().send(Method::GET, "/", &[("x-forwarded-for", claimed)], "").await;
    }
    let told: Vec<_> = api.seen().iter().map(|seen| seen.headers["x-real-ip"].clone()).collect();
    assert_eq!(told, ["203.0.113.7"; 4]);
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let api = Origin::named("api").await;
    let edge = TestEdge::start_with(
        "trusted_proxies: [127.0.0.0/8]",
        &format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: {} }}\n", api.server()),
    )
    .await;
    let sent = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")];
    edge.client().send(Method::GET, "/", &sent, "").await;
    let seen = &api.seen()[0].headers;
    assert_eq!(seen["x-forwarded-for"], "1.2.3.4, 127.0.0.1");
    assert_eq!(seen["x-real-ip"], "1.2.3.4");
    assert_eq!(seen["x-forwarded-proto"], "https");
}

#[tokio::test]
async fn http2_in_cleartext_is_spoken_and_cookies_are_joined() {
    let api = Origin::named("api").await;
    let edge =
        TestEdge::start(&format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: {} }}\n", api.server())).await;
    let client = Client::http2(edge.address);
    let sent = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
    let answer = client.send(Method::POST, "/x", &sent, "hello").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "api"));
    let seen = &api.seen()[0];
    assert_eq!(seen.headers["cookie"], "a=1; b=2; c=3");
    assert_eq!(seen.headers["host"], client.authority());
    assert_eq!(seen.body, "hello");
}

#[tokio::test]
async fn what_cannot_be_routed_is_refused() {
    let api = Origin::named("api").await;
    let edge =
        TestEdge::start(&format!("routes:\n  /api: api\nupstreams:\n  api: {{ servers: {} }}\n", api.server())).await;
    for (head, status) in [
        ("GET /none HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("GET /api HTTP/1.1\r\n\r\n", "400"),
        ("TRACE /api HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "405"),
        ("GET /api/%00 HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /api/../../etc HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /api%5c..%5cx HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ] {
        let answer = raw(edge.address, head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?} -> {answer}");
    }
    assert_eq!(api.count(), 0);
}

#[tokio::test]
async fn errors_speak_json_to_programs_and_html_to_people() {
    let api = Origin::named("api").await;
    let edge =
        TestEdge::start(&format!("routes:\n  /api: api\nupstreams:\n  api: {{ servers: {} }}\n", api.server())).await;
    let json =
        edge.client().send(Method::GET, "/", &[("accept", "application/json"), ("x-request-id", "r1")], "").await;
    let body: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(body["error"]["status"], 404);
    assert_eq!(body["error"]["request_id"], "r1");
    let html = edge.client().get("/").await;
    assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
    let head = raw(edge.address, b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(head.contains("404") && head.ends_with("\r\n\r\n"), "{head}");
}
