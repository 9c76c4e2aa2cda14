//! Caddy.

use super::{Configured, Routes, Setup, Style, Unavailable};

pub fn configure(setup: &Setup, style: Style) -> Result<Configured, Unavailable> {
    if setup.routes != Routes::Two || setup.auth {
        return Err("not set up with many routes or forward authentication".into());
    }
    let tuned = style == Style::Tuned;
    let servers = setup.addresses().collect::<Vec<_>>().join(" ");
    let log =
        if tuned { String::new() } else { format!("log {{ output file {}/access.log }}", setup.folder.display()) };
    let log = log.replace("{ ", "{\n").replace(" }", "\n}");
    let more = if tuned {
        "header_up X-Request-Id {http.request.uuid}
        header_up X-Real-IP {remote_host}
        transport http {
            keepalive_idle_conns_per_host 512
            keepalive_idle_conns 2048
        }"
    } else {
        ""
    };
    let proxy = format!("reverse_proxy {servers} {{\n        lb_policy round_robin\n        {more}\n    }}");
    let (scheme, tls) = match &setup.tls {
        None => ("http", String::new()),
        Some(files) => ("https", format!("tls {} {}", files.certificate.display(), files.key.display())),
    };
    let file = format!(
        "{{
    admin off
    auto_https off
    persist_config off
    servers {{
        protocols h1 h2 h2c
    }}
}}
{scheme}://:{port} {{
    bind 127.0.0.1
    {tls}
    {log}
    handle /api* {{
    {proxy}
    }}
    handle {{
    {proxy}
    }}
}}
",
        port = setup.port
    );
    let path = setup.folder.join("Caddyfile").display().to_string();
    let mut variables = vec![("XDG_DATA_HOME", setup.folder.display().to_string())];
    variables.push(("XDG_CONFIG_HOME", setup.folder.display().to_string()));
    if tuned {
        variables.push(("GOMAXPROCS", setup.workers.to_string()));
    }
    Ok(Configured {
        files: vec![("Caddyfile", file)],
        arguments: ["run", "--adapter", "caddyfile", "--config", &path].map(str::to_owned).to_vec(),
        variables,
    })
}
