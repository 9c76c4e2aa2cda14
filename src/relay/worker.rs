//! What a worker has of the relay: its deadlines, connections, buffers and pipes, and what it shares with the others.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::config::model::LimitsSpec;
use crate::http1::ResponseHead;
use crate::telemetry::{AccessLogger, Metrics, RouteMetrics};
use crate::types::{Active, Pace};

use super::buffer::{Buffers, Lines};
use super::clock::Clock;
use super::pool::Pool;
use super::splice::Pipes;

/// Heads a worker keeps to be used again.
const HEADS_KEPT: usize = 64;

/// What all workers share.
#[derive(Clone)]
pub struct RelayShared {
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
    pub shared: RelayShared,
    /// Its deadlines.
    pub clock: Clock,
    /// Its connections to backends.
    pub pool: Pool,
    /// Its spare buffers.
    pub buffers: Buffers,
    /// Its pipes, for large bodies.
    pub(super) pipes: Pipes,
    /// Its spare heads, as they are written.
    pub lines: Lines,
    /// Its spare heads, as they were read.
    answers: RefCell<Vec<ResponseHead>>,
}

impl Relay {
    /// A worker's part.
    pub fn new(shared: RelayShared) -> Self {
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
    pub(super) fn wait(&self, pace: &mut Pace) -> Instant {
        pace.wait(self.shared.limits.pace(), || self.clock.now())
    }

    /// The client moved so many bytes.
    pub(super) fn moved(&self, pace: &mut Pace, bytes: usize) {
        pace.moved(bytes, || self.clock.now());
    }

    /// Memory for the head of an answer.
    pub(super) fn take_response_head(&self) -> ResponseHead {
        self.answers.borrow_mut().pop().unwrap_or_default()
    }

    /// The same, to be used again.
    pub(super) fn give_response_head(&self, head: ResponseHead) {
        let mut answers = self.answers.borrow_mut();
        if answers.len() < HEADS_KEPT {
            answers.push(head);
        }
    }
}
