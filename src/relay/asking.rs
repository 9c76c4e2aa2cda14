//! One upstream is asked: one backend after another until one answers, or none is left.

use std::future::{Future as _, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::plan::{Attempts, Next, Outcome};
use crate::upstream::{Failure, Lease, NoBackend, Upstream};

use super::attempt::{Attempt, BackendResponse, Broken, RequestKind};
use super::deadlines::Deadlines;
use super::fault::Fault;
use super::pool::Reuse;
use super::scope::RequestScope;
use super::sending::Outgoing;

/// The way of a request through the backends of one upstream.
pub(super) struct Asking<'a> {
    pub upstream: &'a Upstream,
    /// The backend that was asked last.
    pub lease: Option<Lease>,
    pub trail: Trail,
    attempts: Attempts,
    began: Instant,
}

/// What there is to say about it.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Attempts, without those on connections that turned out to be closed.
    pub attempts: u32,
    /// The backend tried before the one claimed now.
    pub last_backend: Option<String>,
    /// How long it waited for a backend.
    pub queued: Duration,
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    /// What went wrong, for the error log.
    pub cause: Option<&'static str>,
}

impl<'a> Asking<'a> {
    /// Before the first attempt.
    pub fn new(upstream: &'a Upstream) -> Self {
        Self { upstream, lease: None, trail: Trail::default(), attempts: Attempts::default(), began: Instant::now() }
    }

    /// Asks until a backend answers.
    ///
    /// # Errors
    /// With what the client is to be told.
    pub async fn ask<'w>(
        &mut self,
        scope: &RequestScope<'_, 'w>,
        asked: RequestKind,
        outgoing: &mut Outgoing<'w>,
    ) -> Result<BackendResponse<'w>, Fault> {
        let (upstream, start) = (self.upstream, scope.request.start);
        loop {
            self.choose(scope).await?;
            self.attempts.begin();
            let Some(lease) = &self.lease else { return Err(Fault::ClientLeft) };
            let backend = lease.backend().address();
            let result = self.attempt(scope, asked, outgoing).await;
            let outcome = match &result {
                Ok(answered) => Outcome::Status(answered.head.status),
                Err(Broken { stale: true, .. }) => Outcome::Stale,
                Err(Broken { fault: Fault::Evicted, .. }) => Outcome::Evicted,
                Err(Broken { fault: Fault::Backend(failure), blamed, .. }) => {
                    if *blamed && let Some(lease) = &self.lease {
                        upstream.failed(lease, *failure);
                    }
                    Outcome::Failed(*failure)
                }
                Err(Broken { fault, .. }) => {
                    self.trail.attempts = self.attempts.made();
                    return Err(*fault);
                }
            };
            let safe = asked.idempotent && !outgoing.streams;
            let next = self.attempts.after(outcome, backend, &upstream.spec().retry, safe, &(upstream, start));
            self.trail.attempts = self.attempts.made();
            match (next, result) {
                (Next::Deliver, Ok(answered)) => return Ok(answered),
                (Next::Fail(failure), _) => return Err(Fault::Backend(failure)),
                (Next::Again | Next::Deliver, _) => {}
            }
        }
    }

    /// One attempt at the backend that was claimed.
    async fn attempt<'w>(
        &mut self,
        scope: &RequestScope<'_, 'w>,
        asked: RequestKind,
        outgoing: &mut Outgoing<'w>,
    ) -> Result<BackendResponse<'w>, Broken> {
        let (relay, upstream) = (scope.relay, self.upstream);
        let Some(lease) = &self.lease else { return Err(Broken::from(Fault::ClientLeft)) };
        let is_whole = outgoing.upload.is_done();
        if !is_whole {
            lease.mark_not_waiting();
        }
        // The first one at once after the head, where there was nothing to wait for.
        let waited = self.attempts.made() != 1 || outgoing.upload.received != 0 || !self.trail.queued.is_zero();
        let chosen = if waited { relay.clock.tick() } else { relay.clock.now() };
        self.began = chosen;
        let reuse = if self.attempts.needs_new_connection() || asked.upgrades {
            Reuse::No
        } else if asked.idempotent && is_whole {
            Reuse::Any
        } else {
            Reuse::Quiet
        };
        let attempt = Attempt {
            relay,
            client: scope.client,
            upstream,
            lease,
            attempts: &self.attempts,
            deadlines: Deadlines::of(upstream),
            asked,
            is_whole,
            stays: false,
        };
        let (wire, reused) = attempt.connect(reuse).await?;
        self.trail.connect = (!reused).then(|| chosen.elapsed());
        let answered = attempt.ask(wire, reused, outgoing).await?;
        let now = relay.clock.tick();
        self.trail.first_byte = Some(now.saturating_duration_since(chosen));
        upstream.answered(lease, answered.head.status, now);
        Ok(answered)
    }

    /// Claims a backend; waits for one where the upstream holds requests.
    async fn choose(&mut self, scope: &RequestScope<'_, '_>) -> Result<(), Fault> {
        let upstream = self.upstream;
        if let Some(lease) = self.lease.take() {
            self.trail.last_backend = Some(lease.backend().label().to_owned());
        }
        if let Ok(lease) = upstream.select(self.attempts.tried()) {
            self.lease = Some(lease);
            return Ok(());
        }
        let (relay, client) = (scope.relay, scope.client);
        let mut queued_since = None;
        let found = {
            let deadline = upstream.hold_deadline(scope.request.start);
            let waiting = upstream.select_or_wait(self.attempts.tried_mut(), deadline, &mut queued_since);
            let mut waiting = std::pin::pin!(waiting);
            poll_fn(|context| match waiting.as_mut().poll(context) {
                Poll::Ready(found) => Poll::Ready(Some(found)),
                Poll::Pending if client.is_gone(relay, context) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        if let Some(since) = queued_since {
            self.trail.queued += since.elapsed();
        }
        match found {
            Some(Ok(lease)) => {
                self.lease = Some(lease);
                Ok(())
            }
            Some(Err(NoBackend::Overloaded)) => Err(Fault::Overloaded),
            Some(Err(why)) => {
                self.trail.cause = Some(why.words());
                Err(Fault::NoBackend(self.last_failure(), !self.trail.queued.is_zero()))
            }
            None => Err(Fault::ClientLeft),
        }
    }

    /// Since the last attempt began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn last_failure(&self) -> Option<Failure> {
        self.attempts.last()
    }
}
