//! A request and everything that is known of it before a backend is asked.

use std::time::Instant;

use crate::filter::ClientFacts;
use crate::http1::{Known, RequestView};
use crate::plan::{Asked, Reader, Walk};
use crate::snapshot::{LiveRoute, Snapshot};

use super::client::Downstream;
use super::worker::Relay;

/// A request whose head was read.
pub struct Request<'a> {
    /// What was in force when it came.
    pub snapshot: &'a Snapshot,
    /// Its head.
    pub view: RequestView<'a>,
    /// What decided on its route.
    pub asked: Asked<'a>,
    /// How far it is.
    pub walk: Walk,
    /// When its first byte came.
    pub start: Instant,
    /// The connection may serve another after it.
    pub keep_alive: bool,
}

/// A request with its client and its worker: what everything that serves it is given.
pub(super) struct RequestScope<'a, 'w> {
    pub relay: &'w Relay,
    pub client: Downstream<'a, 'w>,
    pub request: &'a Request<'a>,
    pub facts: ClientFacts<'a>,
    pub id: &'a [u8],
}

impl<'a> RequestScope<'a, '_> {
    /// The head.
    pub fn view(&self) -> &'a RequestView<'a> {
        &self.request.view
    }

    /// The route.
    pub fn route(&self) -> &'a LiveRoute {
        self.request.snapshot.route(self.request.walk.route())
    }

    /// What decides on the form of a response of the edge's own.
    pub fn reader(&self) -> Reader<'a> {
        let view = self.view();
        Reader {
            route: Some(self.route()),
            accept: view.get(Known::Accept),
            origin: view.get(Known::Origin),
            request_id: std::str::from_utf8(self.id).unwrap_or_default(),
        }
    }

    /// True where the connection may bring another request, as far as is known now.
    pub fn keeps_alive(&self) -> bool {
        self.request.keep_alive && !self.relay.clock.is_ending()
    }
}
