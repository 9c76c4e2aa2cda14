//! The edge's side: reads a file itself where it may, and has it read where it may not.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, absolute};
use std::time::Duration;

use super::address::{PeerProcess, ReaderAddress};
use super::changeable::EdgeUser;
use super::contents::{FILE_BYTES_MAX, NoContents, read_directly};
use super::wire::{self, REPLY_MAX, ReaderReply, ReaderRequest};

/// How long the reader may take. It answers one question after another, each within milliseconds.
const WITHIN: Duration = Duration::from_secs(5);

/// Reads a file whole: as this process's user, and where that may not, through the container's certificate reader if there
/// is one. Blocks for some seconds at most.
///
/// # Errors
/// When neither can read it.
pub fn read(file: &Path) -> Result<Vec<u8>, NoContents> {
    match (read_directly(file), ReaderAddress::here()) {
        (Err(NoContents::Denied), Ok(reader)) => reader.read(file),
        (direct, _) => direct,
    }
}

/// The user for whom this container's certificate reader reads; `None` where there is no reader.
pub fn served_user() -> Option<EdgeUser> {
    match ReaderAddress::here().and_then(|reader| reader.ask(&ReaderRequest::Whom)).ok()? {
        (ReaderReply::Serves(edge), _) => Some(edge),
        (ReaderReply::Contents(_) | ReaderReply::Failed(_), _) => None,
    }
}

impl ReaderAddress {
    pub(super) fn read(&self, file: &Path) -> Result<Vec<u8>, NoContents> {
        let path = absolute(file).ok().and_then(|path| path.to_str().map(str::to_owned));
        let Some(path) = path else { return Err(NoContents::Denied) };
        match self.ask(&ReaderRequest::Read(path)) {
            Ok((ReaderReply::Contents(_), bytes)) => Ok(bytes),
            Ok((ReaderReply::Failed(why), _)) => Err(why),
            Ok((ReaderReply::Serves(_), _)) => Err(NoContents::Other("the certificate reader talks nonsense".into())),
            // There is none, as everywhere but in a container that was started as root.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Err(NoContents::Denied),
            Err(error) => Err(NoContents::Other(format!("the certificate reader did not answer: {error}"))),
        }
    }

    fn ask(&self, request: &ReaderRequest) -> io::Result<(ReaderReply, Vec<u8>)> {
        let mut stream = UnixStream::connect_addr(&self.socket)?;
        let peer = PeerProcess::of(&stream)?;
        if !peer.is_near || !self.users.contains(&peer.user) {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "not the certificate reader"));
        }
        stream.set_read_timeout(Some(WITHIN))?;
        stream.set_write_timeout(Some(WITHIN))?;
        stream.write_all(&wire::line(request))?;
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        stream.by_ref().take(REPLY_MAX as u64).read_until(b'\n', &mut line)?;
        let reply = wire::parse(&line).ok_or_else(|| io::Error::other("its response is not understood"))?;
        let mut bytes = Vec::new();
        if let ReaderReply::Contents(length) = reply {
            stream.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 != length {
                return Err(io::Error::other("its response was cut off"));
            }
        }
        Ok((reply, bytes))
    }
}
