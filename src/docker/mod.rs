//! The container of a backend, commands in it, signals to it: over the Docker socket. Decides nothing, never blocks or
//! panics because the daemon is absent, slow or talks nonsense.
//!
//! The only folder that names `bollard`. Every call has a deadline of its own (bollard's covers the head of an answer
//! alone), and a circuit breaker stands in front of all of them, so that a dead daemon costs one log line.

mod about;
mod breaker;
mod client;
mod container;
mod error;
mod events;
mod exec;
mod find;
mod identity;
mod logs;
mod member;
mod output;
mod overdue;
mod signal;
mod version;

pub use about::DockerAbout;
pub use breaker::{Breaker, Change};
pub use client::{Docker, DockerStatus};
pub use container::{ContainerId, ContainerName, ContainerRef, ContainerState, InvalidContainerName, RestartPolicy};
pub use error::{DockerError, ExecError, FindError, SidecarRefusal};
pub use events::{Happening, Seen};
pub use exec::{Command, ExecOutcome};
pub use signal::SentBy;
