//! Names, paths, hosts and amounts: parsed once, never checked again.

mod active;
mod address;
mod amount;
mod host;
mod identity;
mod name;
mod origin;
mod pace;
mod path;
mod secrets;
mod task;

pub use active::{Active, ActiveRequest};
pub use address::{InvalidAddress, ServerAddress};
pub use amount::{ByteSize, InvalidAmount, Percent, Weight, millis, parse_duration};
pub use host::{HostPattern, InvalidHost};
pub use identity::{IdentityField, InvalidIdentity, is_framing};
pub use name::{InvalidName, UpstreamName};
pub use origin::{InvalidOrigin, Origin};
pub use pace::{Pace, PaceLimits};
pub use path::{InvalidPath, PathPrefix};
pub use secrets::{HIDDEN, line_without_secrets, message_without_users, with_user_covered, without_user};
pub use task::{OwnedTask, spawn_here};
