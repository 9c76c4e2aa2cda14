//! The sample backends of `remora demo`: a page and two API replicas that can be made sick by a request.
//!
//! Plain HTTP servers on loopback, nothing of the edge; the edge treats them as it treats any backend.

use std::net::SocketAddr;

mod replica;

pub use replica::{Replicas, start};

/// The edge's own file for the demo, with the replicas' ports filled in.
pub fn site_file(listen: SocketAddr, admin: SocketAddr, page: SocketAddr, api: &[SocketAddr]) -> String {
    let servers: Vec<String> = api.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "listen: \"{listen}\"\n\
         admin: \"{admin}\"\n\
         docker: off\n\
         routes:\n  /: page\n  /api: api\n\
         upstreams:\n\
         \x20 page: {{ servers: \"{page}\" }}\n\
         \x20 api:\n\
         \x20   servers: [{}]\n\
         \x20   check: {{ http: /health, every: 1s, timeout: 500ms, fall: 2, rise: 2 }}\n\
         \x20   hold: 2s\n",
        servers.join(", ")
    )
}
