//! Refusals of what cannot be read: nothing is known of the request but its client.

use std::time::Instant;

use crate::http1::Version;
use crate::plan::{OwnResponse, Reader, Refusal};
use crate::telemetry::AccessEntry;
use crate::telemetry::metrics::Lane;

use super::client::Downstream;
use super::worker::Relay;

/// Refuses what cannot be read, or came too late: written down, answered, and the client gets time to read the response; a
/// connection is to be closed.
pub async fn refuse<'w>(relay: &'w Relay, client: Downstream<'_, 'w>, refusal: Refusal, start: Instant) {
    let _counted = relay.shared.active.enter();
    let response = OwnResponse::refusal(refusal, Reader::UNKNOWN);
    let sent = client.respond(relay, &response, false, Version::Http11, false).await.unwrap_or_default();
    let status = refusal.status.as_u16();
    relay.shared.unrouted.finished(status, start.elapsed(), 0, sent);
    relay.shared.unrouted.failed(refusal.reason);
    relay.shared.metrics.took_lane(Lane::Fast);
    if relay.shared.access.is_on() {
        relay.shared.access.log(&AccessEntry {
            client: Some(client.peer().address),
            status,
            body_bytes: sent,
            duration: start.elapsed(),
            note: Some(refusal.reason.as_str()),
            ..AccessEntry::at(std::time::SystemTime::now())
        });
    }
    if let Some(connection) = client.connection() {
        connection.linger(relay).await;
    }
}
