//! A request and everything that is known of it before a backend is asked.

use std::time::Instant;

use crate::filter::ClientFacts;
use crate::http1::{Known, RequestView};
use crate::plan::{Reader, Refusal};
use crate::snapshot::{Route, Snapshot};

use super::client::Downstream;
use super::worker::Relay;

/// A request whose head was read.
pub struct Request<'a> {
    /// What was in force when it came.
    pub snapshot: &'a Snapshot,
    /// Its head.
    pub view: RequestView<'a>,
    /// Its route, or why it has none.
    pub route: Result<&'a Route, Refusal>,
    /// When its first byte came.
    pub start: Instant,
    /// The connection may serve another after it.
    pub keep_alive: bool,
}

/// The same, with its client and its worker.
pub(super) struct Question<'a, 'w> {
    pub relay: &'w Relay,
    pub client: Downstream<'a, 'w>,
    pub request: &'a Request<'a>,
    pub facts: ClientFacts<'a>,
    pub id: &'a [u8],
}

impl<'a> Question<'a, '_> {
    /// The head.
    pub fn view(&self) -> &'a RequestView<'a> {
        &self.request.view
    }

    /// The route, where there is one.
    pub fn route(&self) -> Option<&'a Route> {
        self.request.route.ok()
    }

    /// Who reads a response of the edge's own.
    pub fn reader(&self) -> Reader<'a> {
        let view = self.view();
        Reader {
            route: self.route(),
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
