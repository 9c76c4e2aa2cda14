//! nginx.

use super::{Configured, Setup, Style, Traffic, Unavailable};

/// Fields that Remora sets, and nginx too where it is tuned.
const FORWARDED: &str = "
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host;
        proxy_set_header X-Request-Id $request_id;";
/// Fields that a usual file sets.
const USUAL: &str = "
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;";

pub fn configure(setup: &Setup, style: Style) -> Result<Configured, Unavailable> {
    let folder = setup.folder.display();
    let tuned = style.is_tuned();
    let workers = if tuned { setup.workers.to_string() } else { "auto".to_owned() };
    let log = match style {
        Style::Tuned => "off".to_owned(),
        // Remora's own log is gathered too before it is written.
        Style::TunedLog => format!("{folder}/access.log combined buffer=64k flush=1s"),
        Style::Plain => format!("{folder}/access.log combined"),
    };
    let pool = 256.max((setup.backends.len() * 2).next_power_of_two());
    let connections = setup.connections * 2 + pool + 512;
    let keepalive = if tuned {
        format!("keepalive {pool}; keepalive_requests 1000000000; keepalive_timeout 60s;")
    } else {
        String::new()
    };
    let servers: String = setup.addresses().map(|address| format!("        server {address};\n")).collect();
    let http2 = if setup.http2 { "http2 on;" } else { "" };
    let (ssl, certificate) = match &setup.tls {
        None => ("", String::new()),
        Some(files) => (
            " ssl",
            format!(
                "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.3; {}",
                files.certificate.display(),
                files.key.display(),
                if tuned {
                    "ssl_session_cache shared:tls:16m; ssl_session_timeout 1h; ssl_buffer_size 16k;"
                } else {
                    ""
                }
            ),
        ),
    };
    let fields = if tuned { FORWARDED } else { USUAL };
    let upgrade = match (setup.traffic == Traffic::WebSockets, tuned) {
        (true, _) => {
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;"
        }
        (false, true) => "proxy_http_version 1.1; proxy_set_header Connection \"\";",
        (false, false) => "",
    };
    let body = match (setup.traffic, tuned) {
        (Traffic::Large, true) => "proxy_buffers 16 16k; proxy_buffer_size 16k; proxy_max_temp_file_size 0;",
        // 512k took the least of 16k, 64k, 128k, 512k and 1m.
        (Traffic::Uploads, true) => {
            "proxy_request_buffering off; client_max_body_size 10m; client_body_buffer_size 512k;"
        }
        (Traffic::BufferedUploads, true) => "client_max_body_size 10m; client_body_buffer_size 1m;",
        (Traffic::Uploads | Traffic::BufferedUploads, false) => "client_max_body_size 10m;",
        (Traffic::Events, _) => "proxy_buffering off; proxy_read_timeout 1h;",
        _ => "",
    };
    let clients = if tuned {
        "keepalive_requests 1000000000; keepalive_timeout 300s; tcp_nodelay on;"
    } else if setup.http2 {
        // h2load takes the end of a connection, after 1000 requests by default, for failures.
        "keepalive_timeout 65; keepalive_requests 1000000000;"
    } else {
        "keepalive_timeout 65;"
    };
    let own = format!("{fields}\n        {upgrade}");
    let locations: String = setup.routes.paths().iter().map(|path| location(path, setup, &own)).collect();
    let hash = if matches!(setup.routes, super::Routes::Many(_)) { "variables_hash_max_size 2048;" } else { "" };
    let file = format!(
        "worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile {limit};
events {{ worker_connections {connections}; }}
http {{
    access_log {log};
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    sendfile on; tcp_nopush on; {hash}
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    {clients}
    upstream pool {{
{servers}        {keepalive}
    }}
    server {{
        listen 127.0.0.1:{port}{ssl} backlog=4096; {http2}
        {certificate}{own}
        {body}
{locations}    }}
}}
",
        limit = open_files(),
        port = setup.port,
    );
    let arguments =
        ["-p", &folder.to_string(), "-e", &format!("{folder}/error.log"), "-c", &format!("{folder}/nginx.conf")];
    Ok(Configured {
        files: vec![("nginx.conf", file)],
        arguments: arguments.map(str::to_owned).to_vec(),
        variables: vec![],
    })
}

/// What leads a path to the backends. A location that sets a field inherits none: `fields` are set once more there.
fn location(path: &str, setup: &Setup, fields: &str) -> String {
    if !setup.auth || path != "/api" {
        return format!("        location {path} {{ proxy_pass http://pool; }}\n");
    }
    format!(
        "        location {path} {{
        auth_request /-/auth; auth_request_set $user $upstream_http_x_user_id;{fields}
        proxy_set_header X-User-Id $user;
        proxy_pass http://pool; }}
        location = /-/auth {{ internal;{fields}
        proxy_pass_request_body off; proxy_set_header Content-Length \"\";
        proxy_set_header X-Forwarded-Method $request_method; proxy_set_header X-Forwarded-Uri $request_uri;
        proxy_set_header X-Original-Method $request_method; proxy_set_header X-Original-URI $request_uri;
        proxy_pass http://pool/auth; }}
"
    )
}

/// Files a process may open here.
pub fn open_files() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(1024)
}
