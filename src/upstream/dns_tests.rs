//! A name server that says what the test wants, on a port of its own.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use hickory_resolver::config::ConnectionConfig;
use tokio::net::UdpSocket;

use super::*;
use crate::types::OwnedTask;

/// What it says when asked for a kind of address.
#[derive(Clone, Copy)]
enum Says {
    Here(u8),
    NoData,
    NoName,
    Fails,
    Nothing,
}

/// Names to what is said of their IPv4 and IPv6 addresses; of others that there is no such name.
type Zone = HashMap<&'static str, (Says, Says)>;

struct Server {
    config: NameServerConfig,
    _task: OwnedTask,
}

async fn server(zone: impl IntoIterator<Item = (&'static str, (Says, Says))>) -> Server {
    let zone: Zone = zone.into_iter().collect();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = OwnedTask::spawn(async move {
        let mut question = [0; 512];
        while let Ok((length, who)) = socket.recv_from(&mut question).await {
            if let Some(answer) = answered(&question[..length], &zone) {
                socket.send_to(&answer, who).await.unwrap();
            }
        }
    });
    Server { config: config(address), _task: task }
}

fn config(address: SocketAddr) -> NameServerConfig {
    let mut udp = ConnectionConfig::udp();
    udp.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![udp])
}

fn answered(question: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8(question[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    let is_v4 = question[at + 2] == 1;
    let (v4, v6) = zone.get(labels.join(".").as_str()).copied().unwrap_or((Says::NoName, Says::NoName));
    let (code, address) = match if is_v4 { v4 } else { v6 } {
        Says::Here(last) if is_v4 => (0, Some(Ipv4Addr::new(10, 0, 0, last).octets().to_vec())),
        Says::Here(last) => (0, Some(Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, last.into()]).octets().to_vec())),
        Says::NoData => (0, None),
        Says::NoName => (3, None),
        Says::Fails => (2, None),
        Says::Nothing => return None,
    };
    let mut answer = [&question[..2], &[0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]].concat();
    answer.extend(&question[12..at + 5]);
    if let Some(address) = address {
        answer.extend([0xc0, 12, 0, question[at + 2], 0, 1, 0, 0, 0, 60, 0, u8::try_from(address.len()).unwrap()]);
        answer.extend(address);
    }
    Some(answer)
}

fn dns(servers: &[&Server], search: &[&str]) -> Dns {
    let mut options = ResolverOpts::default();
    (options.attempts, options.timeout) = (1, Duration::from_secs(2));
    let search = search.iter().map(|domain| Name::from_ascii(domain).unwrap()).collect();
    Dns::new(search, &servers.iter().map(|server| server.config.clone()).collect::<Vec<_>>(), options).unwrap()
}

/// The addresses, `~` before those that may not be all, `-` for a name that is not there, `?` where nobody could say.
async fn found(dns: &Dns, host: &str) -> String {
    let list = |addresses: Vec<IpAddr>| addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ");
    match dns.find(host).await {
        Ok(Found::All(addresses)) => list(addresses),
        Ok(Found::HalfOf(addresses)) => format!("~{}", list(addresses)),
        Ok(Found::Nothing) => "-".into(),
        Err(_) => "?".into(),
    }
}

#[tokio::test]
async fn a_name_that_is_gone_is_told_from_one_that_nobody_answers_for() {
    use Says::{Fails, Here, NoData, NoName, Nothing};
    #[rustfmt::skip]
    let rows = [
        // name          IPv4     IPv6       found
        ("both.test",   (Here(1), Here(2)),  "10.0.0.1"),
        ("old.test",    (Here(1), NoData),   "10.0.0.1"),
        ("new.test",    (NoData,  Here(2)),  "fd00::2"),
        ("odd.test",    (Here(1), NoName),   "10.0.0.1"),
        ("half.test",   (Here(1), Nothing),  "10.0.0.1"),
        ("sick.test",   (Here(1), Fails),    "10.0.0.1"),
        ("my_app.test", (Here(1), NoData),   "10.0.0.1"),
        ("gone.test",   (NoName,  NoName),   "-"),
        ("late.test",   (NoName,  Nothing),  "-"),
        ("empty.test",  (NoData,  NoData),   "-"),
        ("down.test",   (Fails,   Fails),    "?"),
        ("mute.test",   (Nothing, Nothing),  "?"),
        ("doubt.test",  (NoData,  Fails),    "?"),
        ("lame.test",   (Fails,   NoName),   "?"),
        ("other.test",  (Fails,   Here(2)),  "~fd00::2"),
    ];
    let server = server(rows.iter().map(|(name, says, _)| (*name, *says))).await;
    let dns = dns(&[&server], &[]);
    for (name, _, expected) in rows {
        let start = Instant::now();
        assert_eq!(found(&dns, name).await, expected, "{name}");
        let waits = name == "mute.test";
        assert!(waits || start.elapsed() < Duration::from_secs(1), "{name} took {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn ipv6_is_found_by_itself_where_ipv4_is_there_too() {
    use Says::{Here, NoData, NoName};
    let server = server([
        ("both.one.test", (Here(1), Here(2))),
        ("old.one.test", (Here(1), NoData)),
        ("old.two.test", (NoName, Here(3))),
    ])
    .await;
    let dns = dns(&[&server], &["one.test", "two.test"]);
    let found = async |host: &str| dns.find_ipv6(host).await.unwrap().iter().map(IpAddr::to_string).collect::<Vec<_>>();
    assert_eq!(found("both").await, ["fd00::2"]);
    assert_eq!(found("old").await, [] as [String; 0], "another name of the search list is another service");
    assert_eq!(found("none").await, [] as [String; 0]);
}

#[tokio::test]
async fn nothing_is_remembered_from_one_lookup_to_the_next() {
    let before = server([("api.test", (Says::Here(1), Says::NoData))]).await;
    let dns = dns(&[&before], &[]);
    assert_eq!(found(&dns, "api.test").await, "10.0.0.1");
    drop(before);
    assert_eq!(found(&dns, "api.test").await, "?");
}

#[tokio::test]
async fn names_are_searched_for_as_the_system_does() {
    use Says::{Fails, Here, NoData};
    let server = server([
        ("api.one.test", (Here(1), NoData)),
        ("api.two.test", (Here(2), NoData)),
        ("web.two.test", (Here(3), NoData)),
        ("a.b", (Here(4), NoData)),
        ("a.b.one.test", (Here(5), NoData)),
        ("top", (Here(6), NoData)),
        ("sick.one.test", (Fails, Fails)),
        ("sick.two.test", (Here(7), NoData)),
        ("ill.one.test", (Fails, Fails)),
    ])
    .await;
    let dns = dns(&[&server], &["one.test", "two.test"]);
    #[rustfmt::skip]
    let rows = [
        ("api",          "10.0.0.1"),
        ("web",          "10.0.0.3"),
        ("a.b",          "10.0.0.4"), // it has a dot: as it is first
        ("top",          "10.0.0.6"), // as it is last
        ("web.",         "-"),        // with a final dot: as it is alone
        ("web.two.test.", "10.0.0.3"),
        ("sick",         "10.0.0.7"),
        ("ill",          "?"),        // nobody knows whether it is there
        ("none",         "-"),
    ];
    for (name, expected) in rows {
        assert_eq!(found(&dns, name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn the_next_name_server_is_asked_where_one_does_not_answer() {
    use Says::{Fails, Here, NoData, NoName, Nothing};
    let first = server([
        ("mute.test", (Nothing, Nothing)),
        ("down.test", (Fails, Fails)),
        ("mine.test", (Here(1), NoData)),
        ("slow.test", (Nothing, Nothing)),
    ])
    .await;
    let second = server([
        ("mute.test", (Here(2), NoData)),
        ("down.test", (Here(2), NoData)),
        ("theirs.test", (Here(2), NoData)),
        ("slow.test", (NoName, NoName)),
    ])
    .await;
    let dns = dns(&[&first, &second], &[]);
    #[rustfmt::skip]
    let rows = [
        ("mute.test",   "10.0.0.2", 1_500),
        ("down.test",   "10.0.0.2", 1_500),
        ("mine.test",   "10.0.0.1", 400),
        ("theirs.test", "-",        400),   // the first has said that it is not there
        ("slow.test",   "-",        4_000), // the first had every chance
    ];
    for (name, expected, limit_ms) in rows {
        let start = Instant::now();
        assert_eq!(found(&dns, name).await, expected, "{name}");
        assert!(start.elapsed() < Duration::from_millis(limit_ms), "{name} took {:?}", start.elapsed());
    }
}

#[test]
fn a_file_that_names_nobody_is_an_error() {
    assert!(Dns::read(b"search test\n").is_err());
    let read = Dns::read(b"nameserver 127.0.0.11\nnameserver ::1\nsearch a.test b.test\noptions ndots:0 timeout:1\n");
    let read = read.unwrap();
    assert_eq!((read.servers.len(), read.search.len(), read.ndots), (2, 2, 0));
}
