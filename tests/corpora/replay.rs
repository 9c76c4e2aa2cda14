//! Sends vectors through something that forwards, and tells what its backend made of each.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::harness::{OK, RawOrigin, Wire};
use crate::vectors::Vector;

/// How long a further answer may take.
const AFTER_AN_ANSWER: Duration = Duration::from_millis(300);

/// What came of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The backend saw nothing.
    Stopped,
    /// The backend saw a beginning and never the end.
    Cut,
    /// The backend took it for so many whole requests.
    Passed(usize),
}

impl Verdict {
    pub fn is_passed(self) -> bool {
        matches!(self, Self::Passed(_))
    }

    pub fn parse(text: &str) -> Self {
        match text {
            "-" => Self::Stopped,
            "cut" => Self::Cut,
            count => Self::Passed(count.parse().unwrap_or_else(|_| panic!("`{count}` is no verdict"))),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => out.pad("-"),
            Self::Cut => out.pad("cut"),
            Self::Passed(count) => out.pad(&count.to_string()),
        }
    }
}

/// Sends each vector on a connection of its own, one after another. Something that says nothing for `patience` waits for
/// more, and is told that there is no more.
pub async fn replay(front: SocketAddr, origin: &RawOrigin, vectors: &[Vector], patience: Duration) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for vector in vectors {
        origin.forget();
        let mut client = Wire::saying(front, &vector.bytes).await;
        if !client.says_something(patience).await {
            client.half_close().await;
            client.says_something(patience).await;
        }
        client.until_silent(AFTER_AN_ANSWER).await;
        drop(client);
        settled(origin).await;
        let whole = origin.requests().len();
        verdicts.push(match whole {
            0 if origin.text().is_empty() => Verdict::Stopped,
            0 => Verdict::Cut,
            count => Verdict::Passed(count),
        });
    }
    verdicts
}

/// Waits until nothing more arrives at the origin.
async fn settled(origin: &RawOrigin) {
    let mut before = None;
    while before != Some(origin.bytes()) {
        before = Some(origin.bytes());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An origin for [`replay`].
pub async fn origin() -> RawOrigin {
    RawOrigin::answering(OK).await
}
