//! Traefik. It has no request id of its own.

use super::{Configured, Routes, Setup, Style, Unavailable};

pub fn configure(setup: &Setup, style: Style) -> Result<Configured, Unavailable> {
    if setup.routes != Routes::Two || setup.auth {
        return Err("not set up with many routes or forward authentication".into());
    }
    let tuned = style == Style::Tuned;
    let folder = setup.folder.display();
    let log = if tuned { String::new() } else { format!("accessLog: {{ filePath: {folder}/access.log }}\n") };
    let entry = format!(
        "global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
log: {{ level: ERROR }}
{log}entryPoints:
  web: {{ address: \"127.0.0.1:{}\" }}
serversTransport: {{ maxIdleConnsPerHost: 512 }}
providers: {{ file: {{ filename: {folder}/dynamic.yaml }} }}
",
        setup.port
    );
    let servers = setup.addresses().map(|address| format!("          - url: http://{address}\n")).collect::<String>();
    let (tls, certificates) = match &setup.tls {
        None => ("", String::new()),
        Some(files) => (
            ", tls: {}",
            format!(
                "tls:\n  certificates: [{{ certFile: {}, keyFile: {} }}]\n  options: {{ default: {{ minVersion: VersionTLS13 }} }}\n",
                files.certificate.display(),
                files.key.display()
            ),
        ),
    };
    let dynamic = format!(
        "http:
  routers:
    root: {{ rule: \"PathPrefix(`/`)\", service: pool, entryPoints: [web]{tls} }}
    api: {{ rule: \"PathPrefix(`/api`)\", service: pool, entryPoints: [web]{tls} }}
  services:
    pool:
      loadBalancer:
        servers:
{servers}{certificates}"
    );
    let mut variables = Vec::new();
    if tuned {
        variables.push(("GOMAXPROCS", setup.workers.to_string()));
    }
    Ok(Configured {
        files: vec![("traefik.yaml", entry), ("dynamic.yaml", dynamic)],
        arguments: vec![format!("--configFile={folder}/traefik.yaml")],
        variables,
    })
}
