//! CORS as a browser meets it.

use http::Method;

use crate::harness::{Origin, TestEdge};

const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", "https://app.test"),
    ("access-control-request-method", "PUT"),
    ("access-control-request-headers", "x-a"),
];

#[tokio::test]
async fn the_edge_answers_preflights_and_owns_the_fields() {
    let api = Origin::named("api").await;
    api.answer_header("access-control-allow-origin", "*");
    api.answer_header("vary", "Accept");
    let edge = TestEdge::start(&format!(
        "routes:\n  /: api\nupstreams:\n  api:\n    servers: {}\n    cors: {{ origins: [https://app.test], credentials: true }}\n",
        api.server()
    ))
    .await;
    let preflight = edge.client().send(Method::OPTIONS, "/x", &PREFLIGHT, "").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), "https://app.test");
    assert_eq!(preflight.header("access-control-allow-headers"), "x-a");
    assert_eq!(api.count(), 0, "the backend never sees a preflight");

    let answer = edge.client().send(Method::GET, "/x", &[("origin", "https://app.test")], "").await;
    let origins: Vec<_> = answer.headers.get_all("access-control-allow-origin").iter().collect();
    assert_eq!(origins, ["https://app.test"]);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    let vary: Vec<_> = answer.headers.get_all("vary").iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!(vary, ["Accept", "Origin"]);

    let foreign = edge.client().send(Method::GET, "/x", &[("origin", "https://evil.test")], "").await;
    assert!(!foreign.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn errors_carry_the_fields_too() {
    let edge = TestEdge::start(
        "routes:\n  /: api\nupstreams:\n  api: { servers: \"nobody.invalid:80\", hold: 0, cors: \"https://app.test\" }\n",
    )
    .await;
    let answer = edge.client().send(Method::GET, "/", &[("origin", "https://app.test")], "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.test");
    assert_eq!(answer.header("vary"), "Origin");
    let preflight = edge.client().send(Method::OPTIONS, "/", &PREFLIGHT, "").await;
    assert_eq!(preflight.status, 204, "a preflight to a dead pool is answered");
}
