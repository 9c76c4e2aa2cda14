//! Taking request bodies in: a wait outside the backend for those of slow clients.
//!
//! Gunicorn's sync workers are held by whoever sends slowly, so a body is read before a backend is chosen: whole where
//! it fits Pingora's own retry buffer, else all but its last part, which streams.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::sync::Semaphore;

use crate::types::PaceLimits;

use super::context::RequestContext;
use super::facts::content_length;

/// What Pingora keeps for replays by itself, and also the most that one read returns.
const PINGORA_BUFFER: u64 = 64 * 1024;

/// Reads what may wait here. Bodies in chunks stream, all but their first part: only their end would tell how long they are.
pub(super) async fn take_in(
    session: &mut Session,
    ctx: &mut RequestContext,
    buffers: &Arc<Semaphore>,
    pace: PaceLimits,
) -> Result<()> {
    if session.get_header(header::TRANSFER_ENCODING).is_some() {
        // One that is malformed from its start reaches no backend.
        meet_expectation(session, ctx).await?;
        session.enable_retry_buffering();
        return next(session, pace.pause).await.map(drop);
    }
    let Some(length) = content_length(session.req_header()).filter(|&length| length != 0) else { return Ok(()) };
    let allowed = ctx.route.upstream.as_ref().map_or(0, |upstream| upstream.spec().request_buffer.0);
    if allowed == 0 {
        return Ok(());
    }
    // Pingora keeps the last part; what comes before it is kept here.
    let before = length.saturating_sub(PINGORA_BUFFER);
    let kib = u32::try_from(before.min(allowed).div_ceil(1024)).unwrap_or(u32::MAX);
    let Ok(memory) = Arc::clone(buffers).try_acquire_many_owned(kib) else { return Ok(()) };
    ctx.body.occupy(memory);
    meet_expectation(session, ctx).await?;
    let read = read_ahead(session, ctx, before, allowed, pace.pause);
    let Some(longest) = pace.longest(length) else { return read.await };
    let late = |_| Error::explain(ErrorType::ReadTimedout, "the request body").into_down();
    tokio::time::timeout(longest, read).await.map_err(late)?
}

async fn read_ahead(
    session: &mut Session,
    ctx: &mut RequestContext,
    before: u64,
    allowed: u64,
    pause: Duration,
) -> Result<()> {
    let mut ahead = BytesMut::new();
    while (ahead.len() as u64) < before.min(allowed) {
        match next(session, pause).await? {
            Some(bytes) => ahead.extend_from_slice(&bytes),
            None => break,
        }
    }
    // One read returns no more than PINGORA_BUFFER, so what is left fits there, and is not nothing.
    if before <= allowed {
        session.enable_retry_buffering();
        while next(session, pause).await?.is_some() {}
    }
    ctx.body.keep(ahead.freeze());
    Ok(())
}

/// The next part of the body.
async fn next(session: &mut Session, limit: Duration) -> Result<Option<Bytes>> {
    let read = tokio::time::timeout(limit, session.read_request_body()).await;
    let late = |_| Error::explain(ErrorType::ReadTimedout, "the request body").into_down();
    read.map_err(late)?.map_err(|error| error.into_down())
}

/// A client that waits for leave to send its body gets it from the edge.
async fn meet_expectation(session: &mut Session, ctx: &mut RequestContext) -> Result<()> {
    let expects =
        session.get_header(header::EXPECT).is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects {
        session.write_continue_response().await.map_err(|error| error.into_down())?;
        ctx.body.expectation_met = true;
    }
    Ok(())
}
