//! Full TLS handshakes, each with one request of 200 bytes on it.

use std::time::Instant;

use futures_util::future::join_all;
use tokio_rustls::TlsConnector;

use super::{Count, REQUEST_WITHIN, ask, connect, tls};

pub async fn run(port: u16, until: Instant, count: usize) -> Count {
    let Ok(connector) = tls::connector() else { return Count { requests: 0, errors: 1 } };
    let clients = join_all((0..count).map(|_| client(&connector, port, until))).await;
    clients.iter().fold(Count::default(), |sum, client| Count {
        requests: sum.requests + client.requests,
        errors: sum.errors + client.errors,
    })
}

async fn client(connector: &TlsConnector, port: u16, until: Instant) -> Count {
    let mut count = Count::default();
    while Instant::now() < until {
        let once = async {
            let mut stream = tls::handshake(connector, connect(port).await?).await?;
            ask(&mut stream, "/api/200b").await
        };
        match tokio::time::timeout(REQUEST_WITHIN, once).await {
            Ok(Ok((200, _))) => count.requests += 1,
            _ => count.errors += 1,
        }
    }
    count
}
