//! Forward authentication: who is let through, as whom, and what becomes of everybody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use tokio::sync::Notify;

use crate::harness::{
    Client, OK, Origin, PATIENCE, RawOrigin, RawRequest, TestEdge, Wire, eventually, free_port, is_full_lane, scheme,
};

/// What a deadline may be late by on a busy machine: far from the next deadline that there is.
const LATE: Duration = Duration::from_secs(10);

const ANNA: (&str, &str) = ("authorization", "Bearer anna");
const NOBODY: (&str, &str) = ("authorization", "Bearer nobody");

const HELLO: &str = "HTTP/1.1 200 OK\r\nX-User-Id: 7\r\nX-User-Name: Anna\r\nX-Groups: a\r\nX-Groups: b\r\nX-Hidden: 1\r\nContent-Length: 5\r\n\r\nhello";
const DENIED: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"shop\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: application/problem+json\r\nX-User-Id: 7\r\nServer: users\r\nContent-Length: 9\r\n\r\n{\"no\":1}\n";

/// Anna is let in, an empty yes goes to `Bearer nobody`, and everyone else is asked to log in.
async fn users() -> RawOrigin {
    answering(|request| match request.values("authorization").first() {
        Some(&"Bearer anna") => HELLO,
        Some(&"Bearer nobody") => "HTTP/1.1 204 No Content\r\n\r\n",
        _ => DENIED,
    })
    .await
}

async fn answering(answer: impl Fn(&RawRequest) -> &'static str + Copy + Send + 'static) -> RawOrigin {
    RawOrigin::serving(move |mut peer| async move {
        while let Some(request) = peer.request().await {
            peer.send(answer(&request)).await;
        }
    })
    .await
}

/// `/orders` asks `users`, whose upstream says `more` too; everything else asks nobody.
fn site(service: &str, users: &str, more: &str) -> String {
    format!(
        "routes:
  /: service
  /orders: {{ to: service, auth: {{ to: users, path: \"/users/verify?for=orders\", pass: [X-User-Id, X-User-Name, X-Groups], timeout: 2s }} }}
upstreams:
  service: {{ servers: {service}, check: off }}
  users: {{ servers: {users}, check: off{more} }}
"
    )
}

async fn edge_of(service: &str, users: &RawOrigin) -> TestEdge {
    TestEdge::start_with("log: { access: json }", &site(service, &users.server(), "")).await
}

/// The access log's entry for a path.
async fn logged(edge: &TestEdge, path: &str) -> serde_json::Value {
    let find = || {
        let lines = edge.access_log();
        let entries = lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        entries.into_iter().find(|entry| entry["path"] == path)
    };
    eventually("the request is in the log", || async { find().is_some() }).await;
    find().unwrap()
}

#[tokio::test]
async fn a_request_goes_on_as_whom_the_auth_upstream_says() {
    let (users, service) = (users().await, Origin::named("orders").await);
    let edge = edge_of(&service.server(), &users).await;
    let claims = [
        ("X-User-Id", "1"),
        ("x-user-id", "2"),
        ("X_User_Id", "3"),
        ("X-User-Name", "root"),
        ("X-Groups", "admin"),
        ("X-Other", "mine"),
        ("Connection", "X-User-Id, X-User-Name"),
    ];
    for (who, id, name, groups) in [(ANNA, vec!["7"], vec!["Anna"], vec!["a", "b"]), (NOBODY, vec![], vec![], vec![])] {
        // HTTP/2 has no `Connection`.
        for (client, claims) in [(edge.client(), &claims[..]), (Client::http2(edge.address), &claims[..6])] {
            let headers: Vec<_> = claims.iter().copied().chain([who]).collect();
            let answer = client.send(Method::PUT, "/orders/1", &headers, "a body").await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "orders"));
            let seen = service.seen().pop().unwrap();
            let values = |name: &str| {
                let values = seen.headers.get_all(name).iter();
                values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(
                (values("x-user-id"), values("x-user-name"), values("x-groups")),
                (
                    id.iter().map(ToString::to_string).collect(),
                    name.iter().map(ToString::to_string).collect(),
                    groups.iter().map(ToString::to_string).collect(),
                )
            );
            assert_eq!((values("x_user_id"), values("x-hidden")), (vec![], vec![]));
            assert_eq!(values("x-other"), ["mine"]);
            assert_eq!((seen.method.as_str(), &seen.body[..]), ("PUT", &b"a body"[..]));
        }
    }
    assert_eq!((service.count(), users.requests().len()), (4, 4));
}

#[tokio::test]
async fn a_route_that_asks_nobody_costs_and_protects_nothing() {
    let (users, service) = (users().await, Origin::named("shop").await);
    let edge = edge_of(&service.server(), &users).await;
    let answer = edge.client().send(Method::GET, "/products", &[("x-user-id", "1")], "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(service.seen()[0].headers["x-user-id"], "1");
    assert_eq!(users.connections(), 0);
    let routes = edge.status().await["routes"].clone();
    let lanes: Vec<_> = routes.as_array().unwrap().iter().map(|route| route["lane"].as_str().unwrap()).collect();
    assert_eq!(lanes, if is_full_lane() { ["full", "fast"] } else { ["fast", "fast"] });
}

/// The service gets the path as sent, and may read it otherwise than routes do.
#[tokio::test]
async fn no_spelling_of_a_path_goes_past_the_question() {
    let (users, service) = (users().await, RawOrigin::answering(OK).await);
    let edge = edge_of(&service.server(), &users).await;
    #[rustfmt::skip]
    let rows = [
        ("/orders/..%2fx",             400), // open to routes, and `/orders/:name` to Express
        ("/orders/%2e%2e/x",           400),
        ("/orders/export/../../x",     400),
        ("/%6frders/../x",             400),
        ("//orders//a/../../x",        400),
        ("/x/../orders/1",             401),
        ("/x/..%2forders%2f1",         401),
        ("//orders/1",                 401),
        ("/orders/./1",                401),
        ("/%6f%72ders/1",              401),
        ("/orders;x=1",                400), // what follows is `/orders/1` to Tomcat, Jetty, Spring or Quarkus
        ("/orders;/1",                 400),
        ("/;/orders/1",                400),
        ("/;a=b/orders/1",             400),
        ("/x/..;/orders/1",            400),
        ("/..;/orders",                400),
        ("/orders%3bx/1",              400),
        ("/orders%253bx/1",            400),
        ("/x/%2e%2e;/orders",          400),
        ("/p;%2fq/..;/orders",         400),
        ("/x/%252e%252e/orders",       400), // decoded twice
        ("/x/..%255corders",           400),
        ("/%256frders",                400),
        ("/orders/x//../..",           400), // where an empty segment is one
        ("/Orders/1",                  400), // Express and ASP.NET know no capitals
        ("/x/..;/ORDERS",              400),
        ("/orders./1",                 400), // Windows
        ("/orders%20/1",               400),
        ("/orders%3fx",                400), // decoded, then taken apart
        ("/orders/1;v=2",              401),
        ("/orders/A%20b",              401),
        ("/products/../x",             200),
        ("/products/a%20b",            200),
        ("/Products;color=Red/a%2fb",  200),
        ("/products/100%25/orders",    200),
        ("/ordersOrders;x",            200),
    ];
    for (path, status) in rows {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(Wire::saying(edge.address, request).await.answer().await.status(), status, "{path}");
    }
    assert_eq!(service.requests().len(), 5);
}

/// Whoever tells paths apart by their capitals may; nobody else shall.
#[tokio::test]
async fn routes_that_differ_in_capitals_alone_are_told_apart() {
    let (users, service) = (users().await, RawOrigin::answering(OK).await);
    let auth = "{ to: service, auth: { to: users, path: /verify } }";
    let edge = TestEdge::start(&format!(
        "routes:\n  /: service\n  /Api: service\n  /api: {auth}\n  /Files: {auth}\n  /files/public: service\n  /more: {auth}\n\
         upstreams:\n  service: {{ servers: {}, check: off }}\n  users: {{ servers: {}, check: off }}\n",
        service.server(),
        users.server()
    ))
    .await;
    #[rustfmt::skip]
    let rows = [
        ("/Api/1",            200),
        ("/api/1",            401),
        ("/aPi/1",            400),
        ("/Files/1",          401),
        ("/files/1",          400),
        ("/files/public/A",   200),
        ("/Files/More;/x",    401), // asked whichever way it is read
        ("/more/..;/Files",   401),
    ];
    for (path, status) in rows {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(Wire::saying(edge.address, request).await.answer().await.status(), status, "{path}");
    }
}

/// HTTP/1.0 may name its host in the target alone.
#[tokio::test]
async fn no_spelling_of_a_host_goes_past_the_question() {
    let (users, service) = (users().await, RawOrigin::answering(OK).await);
    let edge = TestEdge::start(&format!(
        "routes:\n  /: service\n  admin.test/: {{ to: service, auth: {{ to: users, path: /verify }} }}\nupstreams:\n  \
         service: {{ servers: {}, check: off }}\n  users: {{ servers: {}, check: off }}\n",
        service.server(),
        users.server()
    ))
    .await;
    for head in [
        "GET http://admin.test/x HTTP/1.0\r\n\r\n",
        "GET http://ADMIN.test:80/x HTTP/1.0\r\n\r\n",
        "GET http://admin.test/x HTTP/1.1\r\nHost: admin.test\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: Admin.Test:80\r\n\r\n",
        "GET /x HTTP/1.0\r\nHost: admin.test\r\n\r\n",
    ] {
        assert_eq!(Wire::saying(edge.address, head).await.answer().await.status(), 401, "{head}");
    }
    assert_eq!(service.requests().len(), 0);
}

#[tokio::test]
async fn what_is_denied_is_the_auth_upstreams_answer_and_never_reaches_the_service() {
    let (users, service) = (users().await, RawOrigin::answering(OK).await);
    let edge = edge_of(&service.server(), &users).await;
    for client in [edge.client(), Client::http2(edge.address)] {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            let answer = client.send(method, "/orders/1?x=%20", &[("x-user-id", "1")], "body").await;
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (401, "{\"no\":1}\n"));
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"shop\"");
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("content-length"), "9");
            assert_eq!(answer.header("x-request-id").len(), 32);
            let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
            assert_eq!(cookies, ["a=1", "b=2"]);
            assert!(!answer.headers.contains_key("x-user-id") && !answer.headers.contains_key("server"));
        }
    }
    let head = edge.client().send(Method::HEAD, "/orders/1", &[], "").await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.as_str()), (401, "9", ""));
    assert_eq!(service.connections(), 0);
    let entry = logged(&edge, "/orders/1?x=%20").await;
    assert_eq!((entry["status"].as_u64(), entry["note"].as_str()), (Some(401), Some("auth_denied")));
    assert_eq!((entry["tries"].as_u64(), entry["backend"].is_null()), (Some(0), true));
    let metrics = edge.metrics().await;
    let counted = |line: &&str| line.contains("reason=\"auth_denied\"") && line.ends_with(" 7");
    assert!(metrics.lines().any(|line| counted(&line)), "{metrics}");
}

#[tokio::test]
async fn redirects_and_other_denials_are_passed_on() {
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let (body, length) = ("x".repeat(65_537), 65_537);
        format!(
            "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    });
    let users = answering(|request| match request.values("x-ask")[0] {
        "403" => "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "302" => "HTTP/1.1 302 Found\r\nLocation: https://login.test/?to=%2Forders\r\nSet-Cookie: s=1\r\nCache-Control: private\r\nContent-Length: 0\r\n\r\n",
        "307" => "HTTP/1.1 307 Temporary Redirect\r\nLocation: /login\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n",
        _ => &LONG,
    })
    .await;
    let service = RawOrigin::answering(OK).await;
    let edge = edge_of(&service.server(), &users).await;
    let client = edge.client();
    let ask = |what: &'static str| {
        let client = client.clone();
        async move { client.send(Method::GET, "/orders", &[("x-ask", what)], "").await }
    };
    let answer = ask("403").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str(), answer.header("content-type")), (403, "", ""));
    let answer = ask("302").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (302, "https://login.test/?to=%2Forders"));
    assert_eq!((answer.header("set-cookie"), answer.header("cache-control")), ("s=1", "private"));
    let answer = ask("307").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (307, "yes"));
    // What is too long to be kept is said in the edge's own words.
    let answer = ask("long").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (302, "/login"));
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(answer.body.contains("not allowed") && answer.body.len() < 4096, "{}", answer.body);
    assert_eq!(service.connections(), 0);
}

#[tokio::test]
async fn the_auth_upstream_is_told_what_is_asked_of_the_service_and_gets_no_body() {
    let (users, service) = (users().await, Origin::named("orders").await);
    let edge = edge_of(&service.server(), &users).await;
    let forged = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/public"),
        ("x-original-method", "GET"),
        ("x-original-uri", "/public"),
        ("x-original-url", "/public"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-port", "1"),
        ("if-none-match", "*"),
        ("range", "bytes=0-0"),
        ("cookie", "a=1"),
        ("host", "shop.test"),
        ("x-request-id", "r-1"),
        ANNA,
    ];
    let path = "/orders/../orders/%7e?a=1&b=%20";
    for client in [edge.client(), Client::http2(edge.address)] {
        // The well-behaved client takes `:authority` from its target.
        let forged: Vec<_> = forged.iter().copied().filter(|(name, _)| *name != "host").collect();
        users.forget();
        let answer = client.send(Method::DELETE, path, &forged, "12345").await;
        assert_eq!(answer.status, 200);
        let asked = &users.requests()[0];
        assert_eq!(asked.line(), "GET /users/verify?for=orders HTTP/1.1");
        for name in ["x-forwarded-method", "x-original-method"] {
            assert_eq!(asked.values(name), ["DELETE"], "{name}");
        }
        for name in ["x-forwarded-uri", "x-original-uri"] {
            assert_eq!(asked.values(name), [path], "{name}");
        }
        let host = edge.client().authority().to_owned();
        for (name, value) in [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-forwarded-proto", scheme()),
            ("x-forwarded-host", &host),
            ("host", &host),
            ("cookie", "a=1"),
            ("authorization", "Bearer anna"),
            ("x-request-id", "r-1"),
        ] {
            assert_eq!(asked.values(name), [value], "{name}");
        }
        for name in
            ["content-length", "transfer-encoding", "x-original-url", "x-forwarded-port", "if-none-match", "range"]
        {
            assert!(asked.values(name).is_empty(), "{name}: {}", asked.head);
        }
        let seen = service.seen().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.target.as_str(), &seen.body[..]), ("DELETE", path, &b"12345"[..]));
        assert_eq!(seen.headers["x-request-id"], "r-1");
        assert_eq!(seen.headers["if-none-match"], "*", "the condition is the service's to judge");
    }
}

#[tokio::test]
async fn neither_yes_nor_no_is_no() {
    #[rustfmt::skip]
    let rows = [
        ("404",        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        ("500",        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
        ("429",        "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"),
        ("nowhere",    "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
        ("304",        "HTTP/1.1 304 Not Modified\r\nLocation: /\r\n\r\n"),
        ("101",        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        ("no HTTP",    "220 mail.test ESMTP\r\n\r\n"),
        ("two bodies", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ("half",       "HTTP/1.1 200 OK\r\nX-User-Id: 7\r\n"),
        ("nothing",    ""),
    ];
    let service = RawOrigin::answering(OK).await;
    for (what, answer) in rows {
        let users = RawOrigin::answering_once(answer).await;
        let edge = edge_of(&service.server(), &users).await;
        let refused = edge.client().send(Method::GET, "/orders", &[ANNA, ("accept", "application/json")], "").await;
        assert_eq!(refused.status, 502, "{what}: {}", refused.body);
        assert!(!refused.headers.contains_key("location"), "{what}");
        assert!(refused.body.contains("cannot determine whether"), "{what}: {}", refused.body);
        assert_eq!(logged(&edge, "/orders").await["note"], "auth_failed", "{what}");
        assert!(edge.told("(auth_failed): auth upstream users: 127.0.0.1:"), "{what}: {:#?}", edge.log());
    }
    assert_eq!(service.connections(), 0);
}

#[tokio::test]
async fn informational_answers_come_before_the_ruling() {
    let users = answering(|_| {
        "HTTP/1.1 103 Early Hints\r\nX-User-Id: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-User-Id: 7\r\nContent-Length: 0\r\n\r\n"
    })
    .await;
    let service = Origin::named("orders").await;
    let edge = edge_of(&service.server(), &users).await;
    assert_eq!(edge.client().get("/orders").await.status, 200);
    assert_eq!(service.seen()[0].headers["x-user-id"], "7");
}

#[tokio::test]
async fn nobody_to_ask_is_told_at_once() {
    let service = RawOrigin::answering(OK).await;
    let dead = format!("\"127.0.0.1:{}\"", free_port());
    for (users, more) in [(dead.as_str(), ""), ("nobody.invalid:80", ""), (dead.as_str(), ", hold: 1m")] {
        let edge = TestEdge::start_with("log: { access: json }", &site(&service.server(), users, more)).await;
        for client in [edge.client(), Client::http2(edge.address)] {
            let start = Instant::now();
            let answer = client.send(Method::POST, "/orders", &[ANNA], "body").await;
            assert_eq!(answer.status, 503, "{users}{more}: {}", answer.body);
            assert_eq!(answer.header("retry-after"), "5");
            assert!(start.elapsed() < Duration::from_secs(2) + LATE, "{users}{more}: {:?}", start.elapsed());
        }
        assert_eq!(logged(&edge, "/orders").await["note"], "auth_unavailable", "{users}{more}");
        assert!(edge.told("auth upstream users: "), "{:#?}", edge.log());
    }
    assert_eq!(service.connections(), 0);
}

#[tokio::test]
async fn an_auth_upstream_that_comes_back_is_asked_again() {
    let service = Origin::named("orders").await;
    let first = Origin::named("users").await;
    let text = format!(
        "routes:\n  /: {{ to: service, auth: {{ to: users, path: /v }} }}\nupstreams:\n  service: {{ servers: {} }}\n  users: {{ servers: {}, check: {{ http: /health, every: 100ms, fall: 1, rise: 1 }} }}\n",
        service.server(),
        first.server()
    );
    let edge = TestEdge::start(&text).await;
    assert_eq!(edge.client().get("/").await.status, 200);
    first.kill();
    eventually("nobody is up", || async { edge.client().get("/").await.status == 503 }).await;
    let asked = service.count();
    let again = Origin::at("users", first.address).await;
    eventually("it is up again", || async { edge.client().get("/").await.status == 200 }).await;
    assert_eq!(service.count(), asked + 1, "nothing got through while nobody could be asked");
    assert!(0 < again.count());
}

#[tokio::test]
async fn a_slow_auth_upstream_is_waited_for_so_long_and_no_longer() {
    // Neither a whole head nor silence, and a body that stalls behind a ruling that is clear.
    let silent = RawOrigin::serving(|mut peer| async move {
        peer.request().await;
        peer.drain().await;
    })
    .await;
    let dribbling = RawOrigin::serving(|mut peer| async move {
        peer.request().await;
        peer.dribble(HELLO, Duration::from_millis(300)).await;
    })
    .await;
    let service = RawOrigin::answering(OK).await;
    for users in [&silent, &dribbling] {
        let edge = edge_of(&service.server(), users).await;
        let start = Instant::now();
        let client = edge.client();
        let (answer, ()) = tokio::join!(client.get_as(ANNA, "/orders"), async {
            eventually("the question is in flight", || async { in_flight(&edge).await == 1 }).await;
        });
        let took = start.elapsed();
        assert_eq!(answer.status, 504, "{}", answer.body);
        assert!(Duration::from_secs(2) <= took && took < Duration::from_secs(2) + LATE, "{took:?}");
        assert_eq!(logged(&edge, "/orders").await["note"], "auth_timeout");
        eventually("the slot is free", || async { in_flight(&edge).await == 0 }).await;
    }
    let stalling = RawOrigin::serving(|mut peer| async move {
        peer.request().await;
        peer.send("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhal").await;
        peer.drain().await;
    })
    .await;
    let edge = edge_of(&service.server(), &stalling).await;
    let answer = edge.client().get("/orders").await;
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, "Basic"));
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(service.connections(), 0);
    // A body behind a yes is nobody's business.
    let chatty = RawOrigin::serving(|mut peer| async move {
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal").await;
        peer.drain().await;
    })
    .await;
    let patient = site(&service.server(), &chatty.server(), "").replace("timeout: 2s", "timeout: 1m");
    let edge = TestEdge::start(&patient).await;
    let start = Instant::now();
    assert_eq!(edge.client().get("/orders").await.status, 200);
    assert!(start.elapsed() < LATE, "{:?}", start.elapsed());
}

async fn in_flight(edge: &TestEdge) -> u64 {
    let status = edge.status().await;
    let upstreams = status["upstreams"].as_array().unwrap();
    let users = upstreams.iter().find(|upstream| upstream["name"] == "users").unwrap();
    users["backends"][0]["in_flight"].as_u64().unwrap()
}

#[tokio::test]
async fn another_backend_is_asked_where_one_breaks_off() {
    let (good, service) = (users().await, Origin::named("orders").await);
    let broken = RawOrigin::serving(|mut peer| async move {
        peer.request().await;
        peer.reset();
    })
    .await;
    let busy = RawOrigin::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    let dead = format!("\"127.0.0.1:{}\"", free_port());
    for (bad, more) in
        [(broken.server(), ""), (dead, ""), (busy.server(), ", retry: { attempts: 1, on: [503], budget: 100% }")]
    {
        let both = format!("[{bad}, {}]", good.server());
        let edge = TestEdge::start(&site(&service.server(), &both, more)).await;
        for _ in 0..4 {
            assert_eq!(edge.client().get_as(ANNA, "/orders").await.status, 200, "{bad}");
        }
    }
    assert!(!broken.requests().is_empty() && !busy.requests().is_empty(), "both had their turn");
    assert_eq!(service.count(), 12);
}

#[tokio::test]
async fn connections_to_the_auth_upstream_are_used_again() {
    let (users, service) = (users().await, Origin::named("orders").await);
    let site = site(&service.server(), &users.server(), ", timeouts: { idle: 1m }");
    let edge = TestEdge::start_with("threads: 1", &site).await;
    let client = edge.client();
    for _ in 0..5 {
        assert_eq!(client.get_as(ANNA, "/orders").await.status, 200);
        assert_eq!(client.get("/orders").await.status, 401);
        assert_eq!(client.get_as(NOBODY, "/orders").await.status, 200);
    }
    assert_eq!((users.requests().len(), users.connections()), (15, 1));
}

#[tokio::test]
async fn a_kept_connection_that_closes_as_it_is_used_costs_nobody_a_request() {
    // Each connection answers one question and closes as the next one comes.
    let users = RawOrigin::serving(|mut peer| async move {
        if peer.request().await.is_some() {
            peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            peer.some().await;
        }
    })
    .await;
    let service = Origin::named("orders").await;
    let site = site(&service.server(), &users.server(), ", timeouts: { idle: 1m }, retry: off");
    let edge = TestEdge::start_with("threads: 1", &site).await;
    for _ in 0..10 {
        assert_eq!(edge.client().get("/orders").await.status, 200);
    }
    assert_eq!(users.requests().len(), 10);
}

/// Heads of a POST that carries this body, framed in the ways there are.
fn posts(body: &str) -> [String; 2] {
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    [
        format!("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        format!("POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"),
    ]
}

#[tokio::test]
async fn the_body_of_what_is_denied_is_never_taken_for_a_request() {
    let (users, service) = (users().await, RawOrigin::answering(OK).await);
    let edge = edge_of(&service.server(), &users).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for post in posts(smuggled) {
        // All at once, and the body once the answer is there.
        let start_of_body = post.find("\r\n\r\n").unwrap() + 4;
        for first in [post.len(), start_of_body, start_of_body + 5] {
            let mut client = Wire::saying(edge.address, &post[..first]).await;
            let answer = client.answer().await;
            assert_eq!((answer.status(), answer.header("connection")), (401, "close"), "{}", answer.head);
            client.send(&post[first..]).await;
            client.send(smuggled).await;
            let rest = client.text().await;
            assert!(rest.is_empty(), "{rest}");
        }
    }
    // Without a body the connection is as good as before.
    let mut client = Wire::saying(edge.address, "GET /orders HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 401);
    client.send("GET /products HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "ok");
    assert_eq!(service.requests().len(), 1);
    assert!(!service.text().contains("smuggled") && !users.text().contains("smuggled"));
    assert!(users.requests().iter().all(|request| request.body.is_empty()));
}

#[tokio::test]
async fn a_client_that_waits_for_leave_gets_it_after_the_ruling() {
    let (asked, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (when_asked, when_told) = (Arc::clone(&asked), Arc::clone(&told));
    let users = RawOrigin::serving(move |mut peer| {
        let (asked, told) = (Arc::clone(&when_asked), Arc::clone(&when_told));
        async move {
            while let Some(request) = peer.request().await {
                asked.notify_one();
                told.notified().await;
                let granted = request.values("authorization") == ["Bearer anna"];
                peer.send(if granted { HELLO } else { DENIED }).await;
            }
        }
    })
    .await;
    let service = RawOrigin::answering(OK).await;
    let edge = edge_of(&service.server(), &users).await;
    let head = "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n";
    for (who, status) in [("Authorization: Bearer anna\r\n", 200), ("", 401)] {
        let mut client = Wire::saying(edge.address, format!("{head}{who}\r\n")).await;
        tokio::time::timeout(PATIENCE, asked.notified()).await.expect("the question comes before the body");
        assert!(!client.says_something(Duration::from_millis(300)).await, "not before it is allowed");
        told.notify_one();
        let first = client.head().await.unwrap();
        if status == 200 {
            assert!(first.starts_with("HTTP/1.1 100 "), "{first}");
            client.send("hello").await;
            assert_eq!(client.answer().await.status(), 200);
        } else {
            assert!(first.starts_with("HTTP/1.1 401 "), "{first}");
        }
    }
    assert!(users.requests().iter().all(|request| request.values("expect").is_empty()));
    assert_eq!(service.requests().len(), 1);
    assert_eq!(service.requests()[0].body, b"hello");
}

#[tokio::test]
async fn what_the_edge_answers_itself_is_answered_first() {
    let (users, service) = (users().await, RawOrigin::answering(OK).await);
    let with_cors = format!("servers: {}, cors: \"https://app.test\"", service.server());
    let site =
        site(&service.server(), &users.server(), "").replace(&format!("servers: {}", service.server()), &with_cors);
    let edge = TestEdge::start_with("limits: { body: 10B }", &site).await;
    let origin = ("origin", "https://app.test");
    let preflight = [origin, ("access-control-request-method", "PUT")];
    for client in [edge.client(), Client::http2(edge.address)] {
        let answer = client.send(Method::OPTIONS, "/orders", &preflight, "").await;
        assert_eq!(answer.status, 204, "a preflight carries no credentials (Fetch standard, section 3.2)");
        let answer = client.send(Method::POST, "/orders", &[ANNA], "more than ten bytes").await;
        assert_eq!(answer.status, 413);
        assert_eq!(users.connections(), 0);
    }
    // A page may read why it was refused.
    let answer = edge.client().get_as(origin, "/orders").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.test");
    assert_eq!(answer.header("vary"), "Origin");
    assert_eq!(service.connections(), 0);
}

#[tokio::test]
async fn a_websocket_opens_for_whom_it_may() {
    let service = RawOrigin::serving(|mut peer| async move {
        if peer.request().await.is_some() {
            peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n").await;
            while let Some(heard) = peer.some().await {
                peer.send(heard).await;
            }
        }
    })
    .await;
    let users = users().await;
    let edge = edge_of(&service.server(), &users).await;
    let asks = |more: &str| {
        format!(
            "GET /orders/live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-User-Id\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-User-Id: 1\r\n{more}\r\n"
        )
    };
    let mut denied = Wire::saying(edge.address, asks("")).await;
    let answer = denied.answer().await;
    assert_eq!((answer.status(), answer.text().as_str()), (401, "{\"no\":1}\n"));
    denied.send("\x01\x02 not a frame of anyone's\r\n\r\n").await;
    assert!(!denied.text().await.contains(" 101 "));
    assert_eq!(service.connections(), 0);

    let mut client = Wire::saying(edge.address, asks("Authorization: Bearer anna\r\n")).await;
    assert_eq!(client.answer().await.status(), 101);
    client.send("hello").await;
    assert_eq!(client.bytes(5).await, b"hello");
    assert_eq!(service.requests()[0].values("x-user-id"), ["7"]);
    let asked = users.requests().pop().unwrap();
    assert_eq!(asked.line(), "GET /users/verify?for=orders HTTP/1.1");
    assert!(asked.values("upgrade").is_empty() && asked.values("connection").is_empty(), "{}", asked.head);
}

#[tokio::test]
async fn a_file_that_begins_to_ask_is_obeyed_and_one_that_stops_too() {
    let (users, service) = (users().await, Origin::named("orders").await);
    let open =
        format!("routes:\n  /: service\nupstreams:\n  service: {{ servers: {}, check: off }}\n", service.server());
    let edge = TestEdge::start(&open).await;
    let client = edge.client();
    assert_eq!(client.get("/orders").await.status, 200);
    edge.edit(&site(&service.server(), &users.server(), ""));
    eventually("the route asks", || async { client.get("/orders").await.status == 401 }).await;
    let count = service.count();
    assert_eq!(client.get("/orders").await.status, 401);
    assert_eq!(service.count(), count);
    assert_eq!(client.get_as(ANNA, "/orders").await.status, 200);
    edge.edit(&open);
    eventually("the route asks nobody", || async { client.get("/orders").await.status == 200 }).await;
}

#[tokio::test]
async fn what_a_client_sends_reaches_no_log_as_it_is() {
    let users = RawOrigin::answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await;
    let service = RawOrigin::answering(OK).await;
    let edge = edge_of(&service.server(), &users).await;
    let request = b"GET /orders/\xc2\x9b31m\xe2\x80\xae HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\nConnection: close\r\n\r\n";
    let answer = Wire::saying(edge.address, request).await.answer().await;
    assert_eq!(answer.status(), 502, "{}", answer.head);
    assert!(edge.told("auth upstream users"));
    let all = edge.log().join("\n") + &edge.access_log().join("\n");
    assert!(!all.contains(['\u{9b}', '\u{202e}', '\u{1b}']), "{all}");
    assert!(!all.contains("secret"), "{all}");
}
