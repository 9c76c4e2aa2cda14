//! Remora with everything on that it promises: two routes, round robin, forwarded fields, request id, the access log,
//! metrics, the admin listener, every deadline, and a check of each backend every 2 s.

use std::fmt::Write;

use super::{Configured, Setup, Traffic, Unavailable};

pub fn configure(setup: &Setup) -> Result<Configured, Unavailable> {
    let listen = match &setup.tls {
        None => format!("\"127.0.0.1:{}\"", setup.port),
        Some(files) => format!(
            "[{{ address: \"127.0.0.1:{}\", tls: {{ certificate: {}, key: {} }} }}]",
            setup.port,
            files.certificate.display(),
            files.key.display()
        ),
    };
    let mut file = format!(
        "listen: {listen}\nadmin: 127.0.0.1:{}\nthreads: {}\ndocker: off\nlog: {{ access: combined }}\n",
        setup.admin, setup.workers
    );
    if setup.full_lane {
        file.push_str("lane: full\n");
    }
    if 1000 <= setup.connections {
        // All come from one address here, of which half of the open files is the most by default.
        let most = setup.connections + 512;
        let _ = writeln!(file, "limits: {{ connections: {most}, connections_per_client: {most} }}");
    }
    file.push_str("routes:\n");
    for path in setup.routes.paths() {
        let route = if setup.auth && path == "/api" {
            "{ to: pool, auth: { to: pool, path: /auth, pass: [X-User-Id] } }"
        } else {
            "pool"
        };
        let _ = writeln!(file, "  {path}: {route}");
    }
    // As nginx without request buffering: bodies stream. By default small ones are held until they are whole.
    let buffer = if setup.traffic == Traffic::Uploads { "request_buffer: 0, " } else { "" };
    let servers: Vec<_> = setup.addresses().collect();
    let _ = writeln!(
        file,
        "upstreams:\n  pool: {{ {buffer}check: {{ tcp: true, every: 2s }}, servers: [{}] }}",
        servers.iter().map(|server| format!("\"{server}\"")).collect::<Vec<_>>().join(", ")
    );
    let path = setup.folder.join("remora.yaml").display().to_string();
    Ok(Configured { files: vec![("remora.yaml", file)], arguments: vec!["run".into(), path], variables: vec![] })
}
