//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};

/// The other end of a client's connection.
#[derive(Debug)]
pub struct Peer {
    /// As the system says it.
    pub socket: SocketAddr,
    /// Its address, an IPv4 one always as such.
    pub address: IpAddr,
    /// The same as text.
    pub text: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The number of the listener that it came in by.
    pub listener: usize,
}

impl Peer {
    /// Of a connection from `socket` to a listener, under TLS or not.
    pub fn new(socket: SocketAddr, listener: usize, is_tls: bool) -> Self {
        let address = socket.ip().to_canonical();
        Self { socket, address, text: address.to_string(), scheme: if is_tls { "https" } else { "http" }, listener }
    }
}
