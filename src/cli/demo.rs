//! `remora demo`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::config;
use crate::demo;
use crate::server::{self, Start};

use super::exit::Exit;
use super::own_name::own_name;
use super::terminal;

/// Where the demo listens if it can; else a free port.
const USUAL: [SocketAddr; 2] = loopback([8080, 0]);
const USUAL_ADMIN: [SocketAddr; 2] = loopback([9901, 0]);

const fn loopback(ports: [u16; 2]) -> [SocketAddr; 2] {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    [SocketAddr::new(ip, ports[0]), SocketAddr::new(ip, ports[1])]
}

/// Run the edge with sample backends in one process; no file, no Docker.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora demo
  remora demo --listen 0.0.0.0:8080    # for other machines; in a container, for `docker run -p`")]
pub(super) struct DemoArguments {
    /// Address or port to listen on; a port alone means every address [default: 127.0.0.1:8080, else a free port]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    listen: Option<SocketAddr>,
}

/// `8080`, `0.0.0.0:8080` or `[::]:8080`.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    let address = port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)).or_else(|_| text.parse());
    address.map_err(|_| "write a port, or an address with a port such as 0.0.0.0:8080".to_owned())
}

/// Starts the sample backends and an edge before them.
pub(super) fn run(arguments: &DemoArguments) -> anyhow::Result<Exit> {
    let samples = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let replicas = samples.block_on(demo::start()).context("cannot start the sample backends")?;
    let listen = match arguments.listen {
        Some(address) => free(&[address]).with_context(|| format!("cannot listen on {address}"))?,
        None => free(&USUAL).context("no port is free")?,
    };
    let admin = free(&USUAL_ADMIN).context("no port is free")?;
    let text = demo::site_file(listen, admin, replicas.page, &replicas.api);
    let loaded = config::load_text(Path::new("demo.yaml"), text, &|_| None).map_err(|report| anyhow!("{report}"))?;
    server::run(Start { config: loaded.config, source: None }, |addresses| {
        if let Some(address) = addresses.first() {
            // Nobody reads it: then nobody misses it.
            let _ = terminal::say(&greeting(*address, admin, &own_name()));
        }
    })?;
    Ok(Exit::Done)
}

/// The first address that can be bound, with its port.
fn free(addresses: &[SocketAddr]) -> std::io::Result<SocketAddr> {
    let mut refused = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpListener::bind(address).and_then(|bound| bound.local_addr()) {
            Ok(address) => return Ok(address),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// What to try, as it can be typed in another terminal.
fn greeting(address: SocketAddr, admin: SocketAddr, remora: &str) -> String {
    // An address that means all of them is none to connect to.
    let near = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(near, address.port());
    let rows = [
        (format!("curl http://{address}/api/hello"), "repeat it: the replicas take turns"),
        (format!("curl -X POST http://{address}/api/sick"), "makes the replica that responds fail for 10 seconds"),
        (format!("{remora} status --admin {admin}"), "during this: which replicas are up, and why one is not"),
    ];
    let width = rows.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    let rows: String = rows.iter().map(|(command, what)| format!("  {command:width$}   # {what}\n")).collect();
    format!(
        "\nRemora runs at http://{address}/ in front of a page and two API replicas. Open it, or try in another terminal:\n\
         \n{rows}\nCtrl-C stops it.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_every_address() {
        for (text, expected) in
            [("8080", "0.0.0.0:8080"), (":80", "0.0.0.0:80"), ("127.0.0.1:1", "127.0.0.1:1"), ("[::]:2", "[::]:2")]
        {
            assert_eq!(listen_address(text).unwrap().to_string(), expected);
        }
        for text in ["", "localhost:80", "0.0.0.0", "70000"] {
            assert!(listen_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_printed_can_be_typed() {
        let text = greeting("0.0.0.0:8080".parse().unwrap(), "127.0.0.1:9901".parse().unwrap(), "target/demo/remora");
        assert!(text.contains("  curl http://127.0.0.1:8080/api/hello "), "{text}");
        assert!(text.contains("  target/demo/remora status --admin 127.0.0.1:9901 "), "{text}");
        assert!(!text.contains("0.0.0.0:"), "{text}");
    }
}
