//! One attempt at one backend: a connection, the request on its way there, the head of the response on its way back.

use std::future::{Future as _, poll_fn};
use std::task::{Context, Poll};

use crate::http1::{ResponseHead, Version};
use crate::plan::Attempts;
use crate::upstream::{Failure, Lease, Upstream, not_connected};

use super::buffer::Buffer;
use super::client::Downstream;
use super::clock::Late;
use super::deadlines::Deadlines;
use super::fault::Fault;
use super::pool::{self, Reuse};
use super::sending::{Outgoing, Sending};
use super::wire::Wire;
use super::worker::Relay;

/// A response whose head is here.
pub(super) struct BackendResponse<'w> {
    pub wire: Wire,
    /// What was read, from the head on.
    pub bytes: Buffer<'w>,
    pub head: ResponseHead,
    pub sending: Sending<'w>,
}

/// One attempt: who asks, and which backend.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a, 'w> {
    pub relay: &'w Relay,
    pub client: Downstream<'a, 'w>,
    pub upstream: &'a Upstream,
    pub lease: &'a Lease,
    pub attempts: &'a Attempts,
    pub deadlines: Deadlines,
    pub asked: RequestKind,
    /// All of the request's body is here.
    pub is_whole: bool,
    /// An interim response was passed on: the request stays with this backend.
    pub stays: bool,
}

/// What of the request decides how it is sent and how the response is read.
#[derive(Clone, Copy)]
pub(super) struct RequestKind {
    pub is_head: bool,
    pub version: Version,
    /// What was sent may be sent again (RFC 9110, section 9.2.2).
    pub idempotent: bool,
    /// It asks for another protocol, as a WebSocket does.
    pub upgrades: bool,
    /// Interim responses are for the client.
    pub passes_interim: bool,
}

/// Why an attempt failed.
pub(super) struct Broken {
    pub fault: Fault,
    /// It says something about the backend.
    pub blamed: bool,
    /// A connection that had been used before was closed before the backend can have read this request.
    pub stale: bool,
}

impl Broken {
    fn new(fault: Fault, blamed: bool) -> Self {
        Self { fault, blamed, stale: false }
    }
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::new(fault, false)
    }
}

impl<'w> Attempt<'_, 'w> {
    /// True where the request leaves: its backend was ejected and another one can take it.
    fn is_left(&self) -> bool {
        !self.stays && self.attempts.may_leave(self.upstream, self.lease)
    }

    /// A connection to the backend: one that waits, where `reuse` allows it, else a new one. True when it waited.
    ///
    /// # Errors
    /// With why there is none, and whether the backend is to blame.
    pub async fn connect(&self, reuse: Reuse) -> Result<(Wire, bool), Broken> {
        let backend = self.lease.backend().address();
        let (relay, watch) = (self.relay, self.client.watch());
        if let Some(wire) = relay.pool.take(backend, reuse, relay.clock.now()) {
            return Ok((wire, true));
        }
        relay.pool.make_room(backend);
        let limit = self.deadlines.connect;
        let mut connecting = std::pin::pin!(tokio::time::timeout(limit, pool::connect(backend)));
        let connected = poll_fn(|context| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(context) {
                return Poll::Ready(Ok(connected));
            }
            // Nothing was sent yet, whatever the method.
            if self.is_left() {
                return Poll::Ready(Err(Fault::Evicted));
            }
            if self.is_whole && self.client.is_gone(relay, context) {
                return Poll::Ready(Err(Fault::ClientLeft));
            }
            watch.backend_until(Some(relay.clock.now() + limit));
            let _ = watch.late(context);
            Poll::Pending
        });
        let connected = connected.await;
        watch.backend_until(None);
        match connected {
            Ok(Ok(Ok(wire))) => Ok((wire, false)),
            Ok(Ok(Err(error))) => {
                let (failure, blamed) = not_connected(&error);
                Err(Broken::new(Fault::Backend(failure), blamed))
            }
            Ok(Err(_)) => Err(Broken::new(Fault::Backend(Failure::ConnectTimeout), true)),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Sends the request and waits for the head of the response. Interim responses are passed on meanwhile. `reused` says
    /// that the connection served another request before.
    ///
    /// # Errors
    /// With why there is none.
    pub async fn ask(
        mut self,
        wire: Wire,
        reused: bool,
        outgoing: &mut Outgoing<'w>,
    ) -> Result<BackendResponse<'w>, Broken> {
        let before = wire.written();
        match self.wait(&wire, outgoing).await {
            Ok((bytes, head, sending)) => Ok(BackendResponse { wire, bytes, head, sending }),
            Err(Lost { fault, in_order }) => {
                let kept = !outgoing.streams;
                let is_reset = fault == Fault::Backend(Failure::Reset);
                // What may be sent twice is, whatever became of it. What may not needs a proof that it was not read: the
                // backend closed before it got any of it. A reset proves nothing.
                let unread = || in_order && wire.has_none_acknowledged_since(before);
                let stale = reused && is_reset && kept && !self.stays && (self.asked.idempotent || unread());
                Err(Broken { fault, blamed: true, stale })
            }
        }
    }

    async fn wait(
        &mut self,
        wire: &Wire,
        outgoing: &mut Outgoing<'w>,
    ) -> Result<(Buffer<'w>, ResponseHead, Sending<'w>), Lost> {
        let (relay, client) = (self.relay, self.client);
        let mut sending = Sending::default();
        let mut reading = Reading { head: relay.take_response_head(), bytes: None };
        loop {
            let waited = self.wait_for_head(wire, outgoing, &mut sending, &mut reading).await;
            client.watch().backend_until(None);
            client.watch().client_until(None);
            waited?;
            let Some(mut bytes) = reading.bytes.take() else { return Err(Failure::BadAnswer.into()) };
            let head = &reading.head;
            if head.status == 101 && !self.asked.upgrades {
                // Another protocol was not asked for.
                return Err(Failure::BadAnswer.into());
            }
            if !head.is_interim() {
                return Ok((bytes, reading.head, sending));
            }
            self.stays = true;
            // Leave to send the body was given here.
            if head.status != 100 && self.asked.passes_interim {
                let sent = client.interim(relay, &head.view(bytes.data()), self.asked.version).await;
                sent.map_err(|_| Fault::ClientLeft)?;
            }
            bytes.used(head.length);
            reading.bytes = Some(bytes);
        }
    }

    async fn wait_for_head(
        &self,
        wire: &Wire,
        outgoing: &mut Outgoing<'w>,
        sending: &mut Sending<'w>,
        reading: &mut Reading<'w>,
    ) -> Result<(), Lost> {
        let (relay, client, deadlines) = (self.relay, self.client, self.deadlines);
        let mut is_asked = false;
        poll_fn(|context| {
            if !is_asked {
                match sending.poll(relay, client, wire, outgoing, deadlines, context) {
                    Poll::Ready(Ok(())) => {
                        is_asked = true;
                        // From here to the whole of the head: a backend that sends it byte by byte is late too.
                        client.watch().backend_until(Some(relay.clock.now() + deadlines.read));
                    }
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault.into())),
                    Poll::Pending => {}
                }
            }
            if let Poll::Ready(read) = reading.poll(relay, wire, self.asked.is_head, context) {
                return Poll::Ready(read);
            }
            if is_asked && client.is_gone(relay, context) {
                return Poll::Ready(Err(Fault::ClientLeft.into()));
            }
            if self.asked.idempotent && !outgoing.streams && reading.bytes.is_none() && self.is_left() {
                return Poll::Ready(Err(Fault::Evicted.into()));
            }
            match client.watch().late(context) {
                Some(Late::Client) => Poll::Ready(Err(Fault::ClientSlow.into())),
                Some(Late::Backend) => Poll::Ready(Err(Failure::Timeout.into())),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// Why no head came.
struct Lost {
    fault: Fault,
    /// The connection ended as its backend closed it: not by a reset.
    in_order: bool,
}

impl From<Fault> for Lost {
    fn from(fault: Fault) -> Self {
        Self { fault, in_order: false }
    }
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Fault::Backend(failure).into()
    }
}

/// A head that is being read. A buffer is held only while there is something in it.
struct Reading<'w> {
    head: ResponseHead,
    bytes: Option<Buffer<'w>>,
}

impl<'w> Reading<'w> {
    /// Reads until the head is whole.
    fn poll(
        &mut self,
        relay: &'w Relay,
        wire: &Wire,
        to_head: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Lost>> {
        let mut buffer = self.bytes.take().unwrap_or_else(|| relay.buffers.large());
        loop {
            if !buffer.is_empty() {
                match self.head.read(buffer.data(), to_head) {
                    Ok(true) => {
                        self.bytes = Some(buffer);
                        return Poll::Ready(Ok(()));
                    }
                    Ok(false) => {}
                    Err(_) => return Poll::Ready(Err(Failure::BadAnswer.into())),
                }
            }
            if buffer.is_full() {
                return Poll::Ready(Err(Failure::BadAnswer.into()));
            }
            match wire.poll_read(context, buffer.data_room()) {
                Poll::Ready(Ok(0)) => {
                    let fault = Fault::Backend(Failure::Reset);
                    return Poll::Ready(Err(Lost { fault, in_order: buffer.is_empty() }));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::Reset.into())),
                Poll::Ready(Ok(count)) => buffer.filled(count),
                Poll::Pending => {
                    self.bytes = Some(buffer).filter(|buffer| !buffer.is_empty());
                    return Poll::Pending;
                }
            }
        }
    }
}
