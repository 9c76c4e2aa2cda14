//! Messages of 125 bytes that are echoed, one at a time on each of many WebSockets.

use std::time::Instant;

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::{Count, REQUEST_WITHIN, connect};

/// The most that fits a frame with the shortest header.
const MESSAGE_BYTES: usize = 125;

pub async fn run(port: u16, until: Instant, count: usize) -> Count {
    let clients = join_all((0..count).map(|_| client(port, until))).await;
    let broken = clients.iter().filter(|(_, ended_well)| !ended_well).count() as u64;
    Count { requests: clients.iter().map(|(messages, _)| messages).sum(), errors: broken }
}

/// Messages that came back, and whether all did.
async fn client(port: u16, until: Instant) -> (u64, bool) {
    let mut messages = 0;
    let talk = async {
        let stream = connect(port).await?;
        let (mut socket, _) = client_async(format!("ws://localhost:{port}/api/ws"), stream).await?;
        while Instant::now() < until {
            socket.send(Message::binary(vec![b'x'; MESSAGE_BYTES])).await?;
            let echo = tokio::time::timeout(REQUEST_WITHIN, socket.next()).await?;
            anyhow::ensure!(echo.transpose()?.is_some_and(|echo| echo.len() == MESSAGE_BYTES), "no echo");
            messages += 1;
        }
        anyhow::Ok(())
    };
    let ended_well = talk.await.is_ok();
    (messages, ended_well)
}
