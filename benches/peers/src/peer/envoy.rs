//! Envoy.

use super::{Configured, Routes, Setup, Style, Unavailable};

pub fn configure(setup: &Setup, style: Style) -> Result<Configured, Unavailable> {
    if setup.routes != Routes::Two || setup.auth {
        return Err("not set up with many routes or forward authentication".into());
    }
    let tuned = style == Style::Tuned;
    let folder = setup.folder.display();
    let log = if tuned {
        String::new()
    } else {
        format!(
            "          access_log:
          - name: envoy.access_loggers.file
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {folder}/access.log }}
"
        )
    };
    let fields = if tuned {
        "            request_headers_to_add:
            - { header: { key: x-real-ip, value: \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\" } }
            - { header: { key: x-forwarded-host, value: \"%REQ(:AUTHORITY)%\" } }\n"
    } else {
        ""
    };
    let tls = setup.tls.as_ref().map_or_else(String::new, |files| {
        format!(
            "      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_params: {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }}
            tls_certificates: [{{ certificate_chain: {{ filename: {} }}, private_key: {{ filename: {} }} }}]
",
            files.certificate.display(),
            files.key.display()
        )
    });
    let endpoints: String = setup
        .backends
        .clone()
        .map(|port| {
            format!(
                "        - endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {port} }} }} }}\n",
                setup.host
            )
        })
        .collect();
    let file = format!(
        "static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          use_remote_address: true
          generate_request_id: true
          upgrade_configs: [{{ upgrade_type: websocket }}]
{log}          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
          route_config:
{fields}            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - {{ match: {{ path_separated_prefix: /api }}, route: {{ cluster: pool, timeout: 60s }} }}
              - {{ match: {{ prefix: / }}, route: {{ cluster: pool, timeout: 60s }} }}
{tls}  clusters:
  - name: pool
    connect_timeout: 2s
    type: STATIC
    lb_policy: ROUND_ROBIN
    circuit_breakers: {{ thresholds: [{{ max_connections: 65536, max_pending_requests: 65536, max_requests: 65536 }}] }}
    load_assignment:
      cluster_name: pool
      endpoints:
      - lb_endpoints:
{endpoints}",
        port = setup.port
    );
    let path = setup.folder.join("envoy.yaml").display().to_string();
    let mut arguments = ["--disable-hot-restart", "-l", "error", "-c", &path].map(str::to_owned).to_vec();
    if tuned {
        arguments.extend(["--concurrency".to_owned(), setup.workers.to_string()]);
    }
    Ok(Configured { files: vec![("envoy.yaml", file)], arguments, variables: vec![] })
}
