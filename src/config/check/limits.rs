//! What a client may take and send.

use crate::types::ByteSize;

use super::super::model::LimitsSpec;
use super::super::problem::{Problem, Problems};
use super::super::raw::RawLimits;
use super::super::read::{Item, field, open};
use super::leaf::{HOUR, MS, auto_or, duration, number, number32, size, size_within};

const FORMS: &str = "`{ body: 10MiB, keepalive: 75s, client_timeout: 60s, header_timeout: 20s }`";
/// Largest body limit that can be written; more is no limit at all, which is 0.
pub(super) const BODY_MAX: ByteSize = ByteSize(1 << 40);
const HEAD_MAX: ByteSize = ByteSize(60 << 10);
const REQUESTS_MAX: u32 = 1_000_000_000;
const CONNECTIONS_MAX: u64 = 1_000_000;

/// The limits towards clients.
pub(super) fn limits(item: Option<Item>, problems: &mut Problems) -> Option<LimitsSpec> {
    let usual = LimitsSpec::default();
    let Some(item) = item else { return Some(usual) };
    let mut raw: RawLimits = open(&item, FORMS, problems)?;
    let body = size(field!(raw.body, item), BODY_MAX, usual.body, problems);
    let keepalive = duration(field!(raw.keepalive, item), 0..=HOUR, usual.keepalive, problems);
    let client_timeout =
        duration(field!(raw.client_timeout, item), 10 * MS..=24 * HOUR, usual.client_timeout, problems);
    let header_timeout = duration(field!(raw.header_timeout, item), 100 * MS..=HOUR, usual.header_timeout, problems);
    let header_size =
        size_within(field!(raw.header_size, item), ByteSize(1 << 10)..=HEAD_MAX, usual.header_size, problems);
    let headers = number(field!(raw.headers, item), 10..=256, usual.headers as u64, problems);
    let uri = uri(field!(raw.uri, item), header_size, problems);
    let min_rate = size(field!(raw.min_rate, item), ByteSize(1 << 20), usual.min_rate, problems);
    let requests = number32(field!(raw.requests, item), 0..=REQUESTS_MAX, usual.requests, problems);
    let lifetime = duration(field!(raw.lifetime, item), 0..=7 * 24 * HOUR, usual.lifetime, problems);
    let connections = auto_or(field!(raw.connections, item), 1..=CONNECTIONS_MAX, problems);
    let connections_per_client = auto_or(field!(raw.connections_per_client, item), 1..=CONNECTIONS_MAX, problems);
    Some(LimitsSpec {
        body: body?,
        keepalive: keepalive?,
        client_timeout: client_timeout?,
        header_timeout: header_timeout?,
        header_size: header_size?,
        headers: usize::try_from(headers?).ok()?,
        uri: uri?,
        min_rate: min_rate?,
        requests: requests?,
        lifetime: lifetime?,
        connections: connections?,
        connections_per_client: connections_per_client?,
    })
}

/// The largest request target, which is a part of the head: one larger than the head could never be reached.
fn uri(item: Option<Item>, header_size: Option<ByteSize>, problems: &mut Problems) -> Option<ByteSize> {
    let usual = LimitsSpec::default();
    let head = header_size.unwrap_or(HEAD_MAX);
    let found = size_within(item.clone(), ByteSize(256)..=HEAD_MAX, usual.uri.min(head), problems)?;
    let Some(item) = item.filter(|_| head < found) else { return Some(found) };
    let problem = Problem::new(&item.place, format!("`uri` is {found}, larger than `header_size` ({head})"));
    problems.add(problem.help(format!("lower `uri` to at most {head}, or raise `header_size`")))
}
