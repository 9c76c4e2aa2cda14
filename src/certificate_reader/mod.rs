//! Certificates and keys that only root can read, for an edge that is not root: a second process, `remora
//! certificate-reader`, reads them and does nothing else.
//!
//! It keeps one capability, to read what others may not, and runs as a user of its own. The edge asks it for a file by its
//! path (`wire`), on a socket without a file that only processes of the same container reach (`listener`). Which files it
//! reads is not the edge's to say: it takes the names from the configuration, which it reads itself (`named_files`), and
//! only where the edge's user could change neither the configuration nor the way to the file (`changeable`). So whoever
//! takes over the edge gets the certificates and keys that the edge has anyway, and nothing else.

mod address;
mod changeable;
mod client;
mod contents;
mod listener;
mod named_files;
mod wire;

pub use address::ReaderAddress;
pub use changeable::EdgeUser;
pub use client::{read, served_user};
pub use contents::NoContents;
pub use listener::{ReaderSocket, bind};
pub use named_files::{NamedFiles, NotReadable};
