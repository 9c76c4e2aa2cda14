//! Rows for `find::choose`.

use super::*;

fn candidate(name: &str, project: Option<&str>, service: Option<&str>, address: Option<(&str, &str)>) -> Candidate {
    Candidate {
        id: ContainerId::parse(&format!("id-{name}")).unwrap(),
        name: ContainerName::parse(name).unwrap(),
        project: project.map(Into::into),
        service: service.map(Into::into),
        is_oneoff: name.contains("run"),
        addresses: address.iter().map(|(network, ip)| ((*network).to_owned(), ip.parse().unwrap())).collect(),
        published: Vec::new(),
    }
}

fn stack() -> Vec<Candidate> {
    let shop = |name, service, address| candidate(name, Some("shop"), Some(service), address);
    vec![
        shop("shop-manager-1", "manager", Some(("net", "172.18.0.2"))),
        shop("shop-backend-1", "backend", Some(("net", "172.18.0.3"))),
        shop("shop-backend-2", "backend", Some(("net", "172.18.0.4"))),
        shop("shop-backend-3", "backend", None),
        shop("shop-backend-run-x", "backend", None),
        shop("shop-database-1", "database", None),
        shop("shop-hidden-1", "hidden", Some(("private", "172.19.0.9"))),
        shop("shop-worker-1", "worker", None),
        shop("shop-worker-2", "worker", None),
        candidate("blog-backend-1", Some("blog"), Some("backend"), Some(("net", "172.18.0.7"))),
        candidate("stray", None, None, Some(("net", "172.18.0.8"))),
    ]
}

fn in_container() -> Scope {
    Scope {
        own: Some(ContainerId::parse("id-shop-manager-1").unwrap()),
        project: Some("shop".into()),
        reach: Reach::Networks(["net".to_owned()].into()),
    }
}

/// The container's name, or the first word of the error.
fn chosen(candidates: &[Candidate], scope: &Scope, address: &str, server: &str) -> String {
    match choose(candidates, scope, address.parse().unwrap(), server) {
        Ok(candidate) => candidate.name.to_string(),
        Err(FindError::Gone { .. }) => "gone".into(),
        Err(FindError::Ambiguous { count, .. }) => format!("ambiguous {count}"),
        Err(FindError::Foreign { owner, .. }) => format!("foreign: {owner}"),
        Err(FindError::Own(_)) => "own".into(),
        Err(error @ (FindError::Docker(_) | FindError::Stranger { .. } | FindError::Refused(_))) => error.to_string(),
    }
}

#[test]
fn a_backend_is_found_inside_the_edges_own_project_only() {
    #[rustfmt::skip]
    let rows = [
        // address            server      found
        ("172.18.0.3:8000",  "backend",  "shop-backend-1"),
        ("172.18.0.4:8000",  "backend",  "shop-backend-2"),
        ("172.18.0.4:8000",  "alias",    "shop-backend-2"),        // the address is enough
        ("172.18.0.99:8000", "backend",  "shop-backend-3"),        // the one replica that has no address
        ("172.18.0.99:3306", "database", "shop-database-1"),       // exited
        ("172.18.0.99:3306", "Database", "shop-database-1"),
        ("172.18.0.99:80",   "hidden",   "shop-hidden-1"),         // no shared network: by label
        ("172.18.0.99:80",   "worker",   "ambiguous 2"),
        ("172.18.0.99:80",   "nobody",   "gone"),
        ("172.18.0.2:80",    "manager",  "own"),
        ("172.18.0.99:80",   "manager",  "gone"),                  // the edge never heals itself
        ("172.18.0.7:8000",  "backend",  "foreign: the Compose project `blog`"),
        ("172.18.0.8:8000",  "backend",  "foreign: no Compose project"),
    ];
    for (address, server, expected) in rows {
        assert_eq!(chosen(&stack(), &in_container(), address, server), expected, "{address} of {server}");
    }
}

#[test]
fn an_address_on_a_network_the_edge_is_not_on_means_nothing() {
    let all = vec![candidate("a", Some("shop"), Some("api"), Some(("other", "10.0.0.5")))];
    assert_eq!(chosen(&all, &in_container(), "10.0.0.5:80", "x"), "gone");
}

#[test]
fn a_recreated_container_is_gone_not_its_successor() {
    let all = vec![candidate("shop-api-1", Some("shop"), Some("api"), Some(("net", "172.18.0.20")))];
    assert_eq!(chosen(&all, &in_container(), "172.18.0.10:80", "api"), "gone");
}

#[test]
fn on_a_host_only_addresses_and_published_ports_count() {
    let mut all = stack();
    all[1].published.push(("0.0.0.0".parse().unwrap(), 8001));
    all[2].published.push(("127.0.0.1".parse().unwrap(), 8002));
    let host = Scope { own: None, project: None, reach: Reach::Host };
    #[rustfmt::skip]
    let rows = [
        ("172.18.0.3:8000",  "backend",  "shop-backend-1"),
        ("172.18.0.7:8000",  "backend",  "blog-backend-1"),        // the caller pins the first project found
        ("172.18.0.8:8000",  "stray",    "foreign: no Compose project"),
        ("127.0.0.1:8001",   "localhost", "shop-backend-1"),
        ("127.0.0.1:8002",   "localhost", "shop-backend-2"),
        ("127.0.0.1:8003",   "localhost", "gone"),
        ("172.18.0.99:3306", "database", "gone"),                  // no project, no guessing by label
    ];
    for (address, server, expected) in rows {
        assert_eq!(chosen(&all, &host, address, server), expected, "{address} of {server}");
    }
    let pinned = Scope { project: Some("shop".into()), ..host };
    assert_eq!(chosen(&all, &pinned, "172.18.0.7:8000", "backend"), "foreign: the Compose project `blog`");
    assert_eq!(chosen(&all, &pinned, "172.18.0.99:3306", "database"), "shop-database-1");
}
