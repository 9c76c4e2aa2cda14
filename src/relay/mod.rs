//! The relay: every client's requests, to backends of HTTP/1.1. A worker has its own connections, buffers and deadlines; in the steady state a
//! request takes no lock and no memory.

mod asking;
mod attempt;
mod auth;
mod body;
mod buffer;
mod client;
mod clock;
mod deadlines;
mod deliver;
mod exchange;
mod fault;
mod figures;
mod heads;
mod pool;
mod reply;
mod response_head;
mod scope;
mod sending;
mod splice;
mod spool;
mod tunnel;
mod upload;
mod wire;
mod worker;

pub use buffer::{Buffer, Buffers, Lines};
pub use client::{Client, Downstream, Peer, Stream};
pub use clock::{Clock, Late, Watched};
pub use exchange::{After, serve};
pub use pool::Pool;
pub use reply::refuse;
pub use scope::Request;
pub use splice::PIPES;
pub use wire::{Transport, Wire};
pub use worker::{Relay, RelayShared};
