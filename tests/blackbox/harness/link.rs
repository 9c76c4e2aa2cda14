//! A bad network between two ends of loopback: latency, loss as TCP shows it (a pause for the retransmission), resets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the network does to what passes.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Each way.
    pub latency: Duration,
    /// Pieces in a hundred that are lost once; each costs a retransmission timeout.
    pub loss: u32,
    /// Connections in a hundred that are reset halfway.
    pub resets: u32,
}

const RETRANSMISSION: Duration = Duration::from_millis(200);

/// A link to a server. Ends when dropped.
pub struct Link {
    pub address: SocketAddr,
    resets: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// Listens and passes everything on to `server`, as the weather permits.
    pub async fn to(server: SocketAddr, weather: Weather) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let resets = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&resets);
        let accepting = tokio::spawn(async move {
            let mut count = 0_u32;
            while let Ok((client, _)) = listener.accept().await {
                count += 1;
                // Spread evenly, and the same in every run.
                let is_reset = count * weather.resets % 100 < weather.resets;
                counter.fetch_add(usize::from(is_reset), Ordering::Relaxed);
                tokio::spawn(carry(client, server, weather, is_reset, count));
            }
        });
        Self { address, resets, accepting }
    }

    /// Connections reset so far, or about to be.
    pub fn resets(&self) -> usize {
        self.resets.load(Ordering::Relaxed)
    }

    /// `"127.0.0.1:1234"`, quoted for YAML.
    pub fn server(&self) -> String {
        format!("\"{}\"", self.address)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(client: TcpStream, server: SocketAddr, weather: Weather, is_reset: bool, seed: u32) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
        if is_reset {
            stream.set_zero_linger().unwrap();
        }
    }
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    let there = pass(client_in, server_out, weather, seed);
    let back = pass(server_in, client_out, weather, seed + 7);
    if is_reset {
        // Once the first bytes have come back, or the request has gone.
        tokio::select! {
            () = there => {}
            () = back => {}
            () = tokio::time::sleep(weather.latency * 3) => {}
        }
    } else {
        tokio::join!(there, back);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, weather: Weather, mut seed: u32) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let is_lost = (seed >> 16) % 100 < weather.loss;
        tokio::time::sleep(weather.latency + if is_lost { RETRANSMISSION } else { Duration::ZERO }).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
