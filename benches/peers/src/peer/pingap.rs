//! pingap, another proxy on Pingora.

use super::{Configured, Routes, Setup, Unavailable};

pub fn configure(setup: &Setup) -> Result<Configured, Unavailable> {
    if setup.routes != Routes::Two || setup.tls.is_some() || setup.auth {
        return Err("set up without TLS and with two routes only".into());
    }
    let folder = setup.folder.display();
    let servers: Vec<_> = setup.addresses().map(|address| format!("\"{address}\"")).collect();
    let file = format!(
        "[basic]
pid_file = \"{folder}/pingap.pid\"
upgrade_sock = \"{folder}/pingap.sock\"

[upstreams.pool]
addrs = [{}]
algo = \"round_robin\"
health_check = \"tcp://pool?connection_timeout=1s&check_frequency=2s\"
connection_timeout = \"2s\"
read_timeout = \"60s\"
write_timeout = \"60s\"
idle_timeout = \"60s\"

[locations.root]
upstream = \"pool\"
path = \"/\"
enable_reverse_proxy_headers = true

[locations.api]
upstream = \"pool\"
path = \"/api\"
enable_reverse_proxy_headers = true

[servers.front]
addr = \"127.0.0.1:{}\"
locations = [\"api\", \"root\"]
threads = {}
enabled_h2 = true
",
        servers.join(", "),
        setup.port,
        setup.workers
    );
    let path = setup.folder.join("pingap.toml").display().to_string();
    Ok(Configured { files: vec![("pingap.toml", file)], arguments: vec!["-c".into(), path], variables: vec![] })
}
