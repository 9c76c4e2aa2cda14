//! The relay: every client's requests, to backends of HTTP/1.1. A worker has its own connections, buffers and deadlines; in the steady state a
//! request takes no lock and no memory.

mod asking;
mod attempt;
mod auth;
mod body;
mod buffer;
mod client;
mod clock;
mod deliver;
mod exchange;
mod fault;
mod heads;
mod pool;
mod question;
mod record;
mod reply;
mod sending;
mod splice;
mod spool;
mod tunnel;
mod upload;
mod wire;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::config::model::LimitsSpec;
use crate::http1::ResponseHead;
use crate::telemetry::{AccessLogger, Metrics, RouteMetrics};
use crate::types::{Active, Pace};

pub use buffer::{Buffer, Buffers, Lines};
pub use client::{Client, Downstream, Peer, Stream};
pub use clock::{Clock, Late, Watched};
pub use exchange::{After, serve};
pub use pool::Pool;
pub use question::Request;
pub use reply::refuse;
pub use splice::PIPES;
use splice::Pipes;
pub use wire::{Transport, Wire};

/// Heads a worker keeps to be used again.
const HEADS_KEPT: usize = 64;

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    /// What clients may take and send.
    pub limits: LimitsSpec,
    /// Where requests are written down.
    pub access: Arc<AccessLogger>,
    /// Requests being worked on.
    pub active: Arc<Active>,
    /// What the whole process counts.
    pub metrics: Arc<Metrics>,
    /// Counters of requests without a route.
    pub unrouted: Arc<RouteMetrics>,
    /// Pipes of each worker, for large bodies.
    pub pipes: usize,
    /// Memory that request bodies may wait in, KiB.
    pub memory: Arc<Semaphore>,
}

/// A worker's part of the fast lane.
pub struct Relay {
    /// What all workers share.
    pub shared: Shared,
    /// Its deadlines.
    pub clock: Clock,
    /// Its connections to backends.
    pub pool: Pool,
    /// Its spare buffers.
    pub buffers: Buffers,
    /// Its pipes, for large bodies.
    pipes: Pipes,
    /// Its spare heads, as they are written.
    pub lines: Lines,
    /// Its spare heads, as they were read.
    answers: RefCell<Vec<ResponseHead>>,
}

impl Relay {
    /// A worker's part.
    pub fn new(shared: Shared) -> Self {
        Self {
            clock: Clock::default(),
            pool: Pool::default(),
            buffers: Buffers::default(),
            pipes: Pipes::new(shared.pipes),
            lines: Lines::default(),
            answers: RefCell::default(),
            shared,
        }
    }

    /// The client has to move by the time returned.
    fn wait(&self, pace: &mut Pace) -> Instant {
        pace.wait(self.shared.limits.pace(), || self.clock.now())
    }

    /// The client moved so many bytes.
    fn moved(&self, pace: &mut Pace, bytes: usize) {
        pace.moved(bytes, || self.clock.now());
    }

    /// Memory for the head of an answer.
    fn take_answer(&self) -> ResponseHead {
        self.answers.borrow_mut().pop().unwrap_or_default()
    }

    /// The same, to be used again.
    fn give_answer(&self, head: ResponseHead) {
        let mut answers = self.answers.borrow_mut();
        if answers.len() < HEADS_KEPT {
            answers.push(head);
        }
    }
}
