//! Rows for what belongs to an upstream's servers.

use std::collections::HashMap;

use bollard::models::{ContainerSummary, ContainerSummaryNetworkSettings, NetworkSettings};

use super::super::container::ContainerId;
use super::*;

fn ends(ip: &str, aliases: &[&str]) -> HashMap<String, EndpointSettings> {
    let end = EndpointSettings {
        ip_address: Some(ip.to_owned()),
        network_id: Some("net".to_owned()),
        aliases: Some(aliases.iter().map(|alias| (*alias).to_owned()).collect()),
        ..Default::default()
    };
    HashMap::from([("net".to_owned(), end)])
}

fn container(name: &str, service: &str, ip: &str, project: &str) -> Candidate {
    let oneoff = if name.contains("run") { "True" } else { "False" };
    let label = |key: &str, value: &str| (format!("com.docker.compose.{key}"), value.to_owned());
    let summary = ContainerSummary {
        id: Some(format!("id-{name}")),
        names: Some(vec![format!("/{name}")]),
        labels: Some(HashMap::from([label("project", project), label("service", service), label("oneoff", oneoff)])),
        network_settings: Some(ContainerSummaryNetworkSettings { networks: Some(ends(ip, &[])) }),
        ..Default::default()
    };
    Candidate::read(&summary).unwrap()
}

fn scope() -> Scope {
    Scope { own: Some(ContainerId::parse("id-sidecar").unwrap()), project: Some("shop".into()), reach: Reach::Host }
}

fn server(text: &str) -> ServerAddress {
    ServerAddress::parse(text).unwrap()
}

#[test]
fn only_a_servers_own_containers_belong_to_it() {
    let backend = container("shop_backend_1", "backend", "172.18.0.3", "shop");
    let oneoff = container("shop_backend_run_1", "backend", "172.18.0.4", "shop");
    let database = container("shop_database_1", "database", "172.18.0.5", "shop");
    #[rustfmt::skip]
    let rows = [
        // container  aliases          server                 asked for            belongs
        (&backend,  &[][..],           "backend:8000",        "172.18.0.3:8000",   true),
        (&backend,  &[][..],           "Backend:8000",        "172.18.0.3:8000",   true),
        (&backend,  &[][..],           "shop_backend_1:8000", "172.18.0.3:8000",   true),
        (&backend,  &[][..],           "backend:8000",        "172.18.0.3:22",     false),
        (&backend,  &["api"][..],      "api:8000",            "172.18.0.3:8000",   true),
        (&backend,  &["api"][..],      "api:8000",            "172.18.9.9:8000",   false),  // an alias of another network
        (&backend,  &[][..],           "172.18.0.3:8000",     "172.18.0.3:8000",   true),
        (&backend,  &[][..],           "172.18.0.9:8000",     "172.18.0.3:8000",   false),
        (&database, &["database"][..], "backend:8000",        "172.18.0.5:8000",   false),
        (&oneoff,   &[][..],           "backend:8000",        "172.18.0.4:8000",   false),
        (&oneoff,   &["backend"][..],  "backend:8000",        "172.18.0.4:8000",   true),
        (&backend,  &[][..],           "localhost:8000",      "127.0.0.1:8000",    true),
        (&backend,  &[][..],           "localhost:8000",      "172.18.0.3:8000",   false),
    ];
    for (candidate, aliases, of, address, belongs) in rows {
        let ip = candidate.addresses[0].1.to_string();
        let settings = NetworkSettings { networks: Some(ends(&ip, aliases)), ..Default::default() };
        let answer = ContainerInspectResponse { network_settings: Some(settings), ..Default::default() };
        let found = is_of(candidate, &answer, &server(of), address.parse().unwrap());
        assert_eq!(found, belongs, "{} as {of} at {address}", candidate.name);
    }
}

#[test]
fn what_no_container_has_is_found_by_a_servers_name_inside_the_project() {
    let all = [
        container("shop_api_1", "api", "", "shop"),
        container("shop_other_1", "other", "172.18.0.7", "shop"),
        container("blog_api_1", "api", "172.19.0.3", "blog"),
    ];
    let (api, also) = (server("api:80"), server("also:80"));
    #[rustfmt::skip]
    let rows = [
        ("172.18.0.99:80", &[&also, &api][..], "shop_api_1"),
        ("172.18.0.99:80", &[&also][..],       "gone"),
        ("172.18.0.7:80",  &[&api][..],        "shop_other_1"),   // which `is_of` then refuses
        ("172.19.0.3:80",  &[&api][..],        "foreign"),
    ];
    for (address, servers, expected) in rows {
        let found = match choose_member(&all, &scope(), address.parse().unwrap(), servers) {
            Ok(candidate) => candidate.name.to_string(),
            Err(FindError::Gone { .. }) => "gone".to_owned(),
            Err(FindError::Foreign { .. }) => "foreign".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{address}");
    }
}
