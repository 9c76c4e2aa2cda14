//! HAProxy.

use super::{Configured, Routes, Setup, Style, Traffic, Unavailable};

pub fn configure(setup: &Setup, style: Style) -> Result<Configured, Unavailable> {
    if setup.auth {
        return Err("asks nobody about a request without a script".into());
    }
    let tuned = style == Style::Tuned;
    let threads = if tuned { format!("    nbthread {}\n", setup.workers) } else { String::new() };
    let connections = setup.connections + 512;
    // Else it keeps no connection to a backend once a quarter of its descriptors is in use.
    let pools = if tuned { "    tune.pool-low-fd-ratio 95\n    tune.pool-high-fd-ratio 99\n" } else { "" };
    let buffers = match setup.traffic {
        // Over TLS larger ones than usual cost it more.
        Traffic::Large | Traffic::Uploads if tuned && setup.tls.is_none() => "    tune.bufsize 65536\n",
        // It waits for a body as far as that fits one buffer.
        Traffic::BufferedUploads => "    tune.bufsize 1310720\n",
        _ => "",
    };
    let way = match setup.traffic {
        Traffic::BufferedUploads => "    option http-buffer-request\n",
        // Else the kernel waits for more of a chunked answer, up to 200 ms.
        Traffic::Events if tuned => "    option http-no-delay\n",
        _ => "",
    };
    let log = if tuned { "" } else { "    log stdout format raw local0\n" };
    let option = if tuned { "" } else { "    log global\n    option httplog\n" };
    let reuse = if tuned { "    http-reuse always\n" } else { "" };
    let tls = setup.tls.as_ref().map_or_else(String::new, |files| {
        format!(" ssl crt {} alpn h2,http/1.1 ssl-min-ver TLSv1.3", files.both.display())
    });
    let fields = if tuned {
        "    http-request set-header X-Real-IP %[src]
    http-request set-header X-Forwarded-Proto http unless { ssl_fc }
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Request-Id %[uuid()]\n"
    } else {
        ""
    };
    let (choose, map) = match setup.routes {
        Routes::Two => ("    use_backend api if { path /api } || { path_beg /api/ }\n".to_owned(), String::new()),
        Routes::Many(_) => {
            let lines = setup.routes.paths().into_iter().map(|path| format!("{path} api\n")).collect();
            let map = setup.folder.join("routes.map");
            (format!("    use_backend %[path,map_beg({},pool)]\n", map.display()), lines)
        }
    };
    let servers: String = setup
        .addresses()
        .enumerate()
        .map(|(number, address)| format!("    server s{number} {address} check inter 2s\n"))
        .collect();
    // Both backends have the same servers, but only one of them checks.
    let unchecked = servers.replace(" check inter 2s", "");
    let file = format!(
        "global
    maxconn {connections}
    no strict-limits
{threads}{pools}{buffers}{log}
defaults
    mode http
{option}{way}    option forwardfor
    timeout connect 5s
    timeout client 50s
    timeout server 50s
    timeout http-request 10s
    timeout http-keep-alive 300s
    timeout tunnel 1h
{reuse}
frontend front
    bind 127.0.0.1:{port}{tls}
{fields}{choose}    default_backend pool

backend pool
    balance roundrobin
{unchecked}
backend api
    balance roundrobin
{servers}",
        port = setup.port,
    );
    let path = setup.folder.join("haproxy.cfg").display().to_string();
    Ok(Configured {
        files: vec![("haproxy.cfg", file), ("routes.map", map)],
        arguments: ["-db", "-f", &path].map(str::to_owned).to_vec(),
        variables: vec![],
    })
}
