//! The reader's side: who may ask, and one answer after another, each under a deadline.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::telemetry::Limiter;

use super::address::{PeerProcess, ReaderAddress};
use super::named_files::NamedFiles;
use super::wire::{self, REQUEST_MAX, ReaderReply, ReaderRequest};

/// How long a request may take to arrive, and an answer to be taken: others wait meanwhile.
const WITHIN: Duration = Duration::from_secs(2);
/// Pause where the system has no file for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket on which the edge may ask already.
#[derive(Debug)]
pub struct ReaderSocket {
    listener: UnixListener,
    /// Of one line a second, however many are turned away.
    refused: Limiter,
}

/// Takes the address.
///
/// # Errors
/// When another reader has it.
pub fn bind(address: &ReaderAddress) -> io::Result<ReaderSocket> {
    Ok(ReaderSocket { listener: UnixListener::bind_addr(&address.socket)?, refused: Limiter::default() })
}

impl ReaderSocket {
    /// Answers as long as the process lives.
    pub fn serve(&self, mut files: NamedFiles) -> ! {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.attend(stream, &mut files) {
                        self.tell(&format!("connection closed: {error}"));
                    }
                }
                Err(error) => {
                    self.tell(&format!("cannot accept connections: {error}"));
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn attend(&self, mut stream: UnixStream, files: &mut NamedFiles) -> io::Result<()> {
        let (peer, edge) = (PeerProcess::of(&stream)?, files.edge());
        // Root has no need of it, and may know.
        if !peer.is_near || ![edge.user, 0].contains(&peer.user) {
            return Err(io::Error::other(format!("the peer is user {} and not the edge of this container", peer.user)));
        }
        stream.set_write_timeout(Some(WITHIN))?;
        let line = request(&mut stream)?;
        let request = wire::parse(&line).ok_or_else(|| io::Error::other("not a request"))?;
        let (reply, bytes) = match request {
            ReaderRequest::Whom => (ReaderReply::Serves(edge), Vec::new()),
            ReaderRequest::Read(path) => match files.read(Path::new(&path)) {
                Ok(bytes) => (ReaderReply::Contents(bytes.len() as u64), bytes),
                Err(why) => {
                    self.tell(&format!("did not read {path:?}: {why}"));
                    (ReaderReply::Failed(why), Vec::new())
                }
            },
        };
        stream.write_all(&wire::line(reply))?;
        stream.write_all(&bytes)
    }

    fn tell(&self, what: &str) {
        match self.refused.admit() {
            Some(0) => log::warn!("{what}"),
            Some(more) => log::warn!("{what}; {more} similar suppressed"),
            None => {}
        }
    }
}

/// One line, however it comes in.
fn request(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let late = Instant::now() + WITHIN;
    let (mut line, mut piece) = (Vec::new(), [0; 4096]);
    while line.last() != Some(&b'\n') {
        let left = late.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(piece.get(..count).unwrap_or_default());
        if REQUEST_MAX < line.len() {
            return Err(io::Error::other("the request is too long"));
        }
    }
    Ok(line)
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
