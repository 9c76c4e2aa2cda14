//! Where the edge listens: both families as users of nginx write them, and what check says of it before.

use std::net::SocketAddr;
use std::process::Stdio;

use crate::harness::{Client, Origin, PATIENCE, TestEdge, free_port};

fn site(origin: &Origin) -> String {
    format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", origin.server())
}

#[tokio::test]
async fn both_families_are_reached_however_they_are_listed() {
    let origin = Origin::named("api").await;
    for list in
        ["P", "'[::]:P'", "[P, '[::]:P']", "['[::]:P', P]", "['0.0.0.0:P', '[::]:P']", "['127.0.0.1:P', '[::]:P']"]
    {
        let listen = |plain: SocketAddr| list.replace('P', &plain.port().to_string());
        let edge = TestEdge::start_listening(listen, "", &site(&origin)).await;
        for (ip, seen_as) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")] {
            let address = format!("{ip}:{}", edge.address.port()).parse().unwrap();
            assert_eq!(Client::new(address).get("/").await.status, 200, "{list}: {ip}");
            assert_eq!(origin.seen().pop().unwrap().headers["x-real-ip"], seen_as, "{list}");
        }
        let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_remora"));
        assert!(check.arg("check").arg(edge.file()).stdout(Stdio::null()).status().unwrap().success(), "{list}");
    }
}

#[tokio::test]
async fn what_run_could_not_have_is_refused_by_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("remora.yaml");
    let (port, admin) = (free_port(), free_port());
    for (list, expected) in [
        ("[P, P]", "this address is listed twice"),
        ("[P, '0.0.0.0:P']", "this address is listed twice"),
        ("[P, '[::]:P', '0.0.0.0:P']", "this address is listed twice"),
        ("[P, '127.0.0.1:P']", "`127.0.0.1:P` is taken by `P`, which means every address"),
        ("['127.0.0.1:P', '0.0.0.0:P']", "`127.0.0.1:P` is taken by `0.0.0.0:P`"),
        ("['[::]:P', '[::1]:P']", "`[::1]:P` is taken by `[::]:P`"),
        ("['127.0.0.1:P', '[::ffff:127.0.0.1]:P']", "this address is listed twice"),
        ("[P, A]", "`admin` has the address 127.0.0.1:A here too"),
        ("[P, '[::]:A']", "`admin` has the address 127.0.0.1:A here too"),
        ("P\nmetrics: 127.0.0.1:A", "`admin` has the address 127.0.0.1:A too"),
        ("P\nmetrics: '[::]:A'", "`admin` has the address 127.0.0.1:A too"),
        ("P\nmetrics: 0.0.0.0:P", "`metrics` has the address 0.0.0.0:P here too"),
        ("P\nmetrics: '[::]:P'", "`metrics` has the address [::]:P here too"),
    ] {
        let numbers = |text: &str| text.replace('P', &port.to_string()).replace('A', &admin.to_string());
        let site = "docker: off\nroutes: { /: a }\nupstreams: { a: { servers: \"127.0.0.1:9\" } }\n";
        std::fs::write(&file, format!("listen: {}\nadmin: 127.0.0.1:{admin}\n{site}", numbers(list))).unwrap();
        let mut said = Vec::new();
        for command in ["check", "run"] {
            let mut remora = tokio::process::Command::new(env!("CARGO_BIN_EXE_remora"));
            let child = remora.arg(command).arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            let ended = tokio::time::timeout(PATIENCE, child.output()).await.expect(list).unwrap();
            said.push((ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned()));
        }
        assert_eq!(said[0], said[1], "{list}");
        assert_eq!(said[0].0, Some(2), "{list}");
        assert!(said[0].1.contains(&numbers(expected)) && said[0].1.contains("= help: "), "{list}: {}", said[0].1);
    }
}
