//! The proxies we are measured against, as their users run them, and the record of what they said.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::harness::{Running, eventually, free_port};
use crate::replay::Verdict;

pub const NAMES: [&str; 3] = ["nginx", "haproxy", "caddy"];

/// A peer in front of one origin. Ends when dropped.
pub struct Peer {
    pub address: SocketAddr,
    _running: Running,
    _folder: tempfile::TempDir,
}

impl Peer {
    /// Starts a peer. `CADDY` names caddy's executable where it is not on the path.
    pub async fn start(name: &str, origin: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let file = folder.path().join("config");
        let at = folder.path().display();
        let (text, mut command) = match name {
            "nginx" => (
                format!(
                    "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\nevents {{}}\nhttp {{\n  access_log off;\n  \
                     client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n  \
                     server {{ listen {address}; location / {{ proxy_pass http://{origin}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}\n}}\n"
                ),
                Command::new("nginx"),
            ),
            "haproxy" => (
                format!(
                    "defaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 2s\n\
                     frontend front\n  bind {address}\n  default_backend back\nbackend back\n  server a {origin}\n"
                ),
                Command::new("haproxy"),
            ),
            "caddy" => (
                format!(
                    "{{\n  admin off\n  auto_https off\n  persist_config off\n}}\nhttp://:{} {{\n  bind 127.0.0.1\n  reverse_proxy {origin}\n}}\n",
                    address.port()
                ),
                Command::new(std::env::var_os("CADDY").unwrap_or("caddy".into())),
            ),
            other => panic!("no peer is called `{other}`"),
        };
        std::fs::write(&file, text).unwrap();
        match name {
            "nginx" => command.arg("-p").arg(folder.path()).arg("-c").arg(&file),
            "haproxy" => command.arg("-db").arg("-f").arg(&file),
            _ => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file),
        };
        let (running, _, _) = Running::start(&mut command);
        eventually("the peer listens", || async { tokio::net::TcpStream::connect(address).await.is_ok() }).await;
        Self { address, _running: running, _folder: folder }
    }
}

fn record() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora/peers.tsv")
}

/// What the peers said when they were measured, by vector.
pub fn recorded() -> BTreeMap<String, [Verdict; 3]> {
    let text = std::fs::read_to_string(record()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let verdicts = lines.map(|line| {
        let mut columns = line.split('\t');
        let name = columns.next().unwrap().to_owned();
        (name, std::array::from_fn(|_| Verdict::parse(columns.next().unwrap())))
    });
    verdicts.collect()
}

/// Writes the record anew.
pub fn write(verdicts: &BTreeMap<String, [Verdict; 3]>) {
    let mut text = format!(
        "# What the peers' backend made of each vector of the corpora: `-` it saw nothing, `cut` it saw a beginning and never the\n\
         # end, else how many whole requests. `+host` is the vector with a Host field added.\n\
         # Measured by `cargo test --test corpora -- --ignored peers_say` with {}.\n\
         # vector\t{}\n",
        NAMES.map(version).join(", "),
        NAMES.join("\t")
    );
    for (name, [a, b, c]) in verdicts {
        text.push_str(&format!("{name}\t{a}\t{b}\t{c}\n"));
    }
    std::fs::write(record(), text).unwrap();
}

fn version(name: &str) -> String {
    let (mut command, argument) = match name {
        "nginx" => (Command::new("nginx"), "-v"),
        "haproxy" => (Command::new("haproxy"), "-v"),
        _ => (Command::new(std::env::var_os("CADDY").unwrap_or("caddy".into())), "version"),
    };
    let output = command.arg(argument).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let digits = text.split(|c: char| !(c.is_ascii_digit() || c == '.')).find(|word| word.contains('.')).unwrap_or("");
    format!("{name} {digits}")
}
