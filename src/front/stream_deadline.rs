//! A deadline for bytes that Pingora waits for: it polls, and has none of its own where it flushes and says goodbye.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::Sleep;

use crate::types::{Pace, PaceLimits};

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct StreamDeadline {
    limits: PaceLimits,
    pace: Pace,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl StreamDeadline {
    /// One that rings when these limits are passed.
    pub fn new(limits: PaceLimits) -> Self {
        Self { limits, pace: Pace::default(), sleep: None }
    }

    /// The client is waited for: an error once it was too long.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let due = tokio::time::Instant::from_std(self.pace.wait(self.limits, Instant::now));
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// The client moved so many bytes.
    pub fn moved(&mut self, bytes: usize) {
        self.pace.moved(bytes, Instant::now);
    }
}
