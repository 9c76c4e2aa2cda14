//! What an error of a connection to a backend means, and whether the backend is to blame for it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use pingora::prelude::{Error, ErrorType};
use rustix::io::Errno;
use tokio::net::TcpStream;

use super::failure::Failure;

/// How long a backend that gave no answer in time may take for a mere connection: longer than it takes around the world.
const CONNECTED_WITHIN: Duration = Duration::from_millis(400);

/// Who hangs takes connections all the same, for the system does it; who is gone does not, which is another thing.
pub(super) async fn takes_connections(address: SocketAddr) -> bool {
    tokio::time::timeout(CONNECTED_WITHIN, TcpStream::connect(address)).await.is_ok_and(|connected| connected.is_ok())
}

/// Why a connection could not be opened, and whether the backend is to blame.
pub fn not_connected(error: &io::Error) -> (Failure, bool) {
    let failure = match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::ConnectFailed,
    };
    (failure, !is_ours(error))
}

/// Files, memory or ports that ran out here.
pub(super) fn is_ours(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    ours.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// True where a deadline beneath Pingora ended a connection: the system's, or the front door's.
pub fn is_late(error: &Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
}

/// What a Pingora error towards a backend means.
pub fn failure_of(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::HTTPStatus(status) => Failure::Status(*status),
        ErrorType::ConnectRefused => Failure::Refused,
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Failure::ConnectTimeout,
        ErrorType::ConnectNoRoute | ErrorType::ConnectError => Failure::ConnectFailed,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::Timeout,
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => {
            if is_late(error) {
                Failure::Timeout
            } else {
                Failure::Reset
            }
        }
        _ => Failure::BadAnswer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_out_here_is_not_the_backends_fault() {
        #[rustfmt::skip]
        let rows = [
            (Errno::CONNREFUSED,  Failure::Refused,        true),
            (Errno::TIMEDOUT,     Failure::ConnectTimeout, true),
            (Errno::HOSTUNREACH,  Failure::ConnectFailed,  true),
            (Errno::MFILE,        Failure::ConnectFailed,  false),
            (Errno::ADDRNOTAVAIL, Failure::ConnectFailed,  false),
        ];
        for (errno, failure, to_blame) in rows {
            assert_eq!(not_connected(&errno.into()), (failure, to_blame), "{errno}");
        }
    }
}
