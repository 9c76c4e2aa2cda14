//! Which version of Docker's API is spoken: the newest that both sides know, named in every path.
//!
//! bollard 0.21.1 names none (fussybeaver/bollard#736), so the engine would answer in its own newest, which may be newer than
//! what bollard reads, and Docker's API reference calls paths without a version deprecated.

use std::path::Path;

use bollard::errors::Error as Bollard;
use bollard::{API_DEFAULT_VERSION, BollardRequest};
use http::Uri;
use http::uri::PathAndQuery;

/// Major and minor.
type Version = (usize, usize);

/// A client of the daemon at this socket that speaks a version which it knows.
pub(super) async fn agree(socket: &Path, timeout_seconds: u64) -> Result<bollard::Docker, Bollard> {
    let client = bollard::Docker::connect_with_unix(&socket.to_string_lossy(), timeout_seconds, API_DEFAULT_VERSION)?;
    let told = client.version().await?;
    let newest = told.api_version.as_deref().and_then(parse).ok_or(Bollard::APIVersionParseError {})?;
    let oldest = told.min_api_version.as_deref().and_then(parse).unwrap_or(newest.min(ours()));
    let spoken = choose(ours(), oldest, newest);
    Ok(client.with_request_modifier(move |request| name(request, spoken)))
}

/// The newest version that bollard knows.
fn ours() -> Version {
    (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version)
}

/// An engine that has given up ours is spoken to in its oldest, which differs least.
fn choose(ours: Version, oldest: Version, newest: Version) -> Version {
    ours.max(oldest).min(newest)
}

fn parse(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn name(mut request: BollardRequest, spoken: Version) -> BollardRequest {
    if let Some(named) = versioned(request.uri(), spoken) {
        *request.uri_mut() = named;
    }
    request
}

/// `/containers/json` as `/v1.41/containers/json`; nothing where the path names a version already.
fn versioned(uri: &Uri, (major, minor): Version) -> Option<Uri> {
    let path = uri.path_and_query()?.as_str();
    if path.strip_prefix("/v").and_then(|rest| rest.split('/').next()).and_then(parse).is_some() {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("/v{major}.{minor}{path}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_both_know_is_chosen() {
        #[rustfmt::skip]
        let rows = [
            // ours     oldest    newest     spoken
            ((1, 53),   (1, 12),  (1, 41),   (1, 41)),
            ((1, 53),   (1, 24),  (1, 45),   (1, 45)),
            ((1, 53),   (1, 44),  (1, 53),   (1, 53)),
            ((1, 53),   (1, 44),  (1, 60),   (1, 53)),
            ((1, 53),   (1, 54),  (1, 60),   (1, 54)),
            ((1, 53),   (1, 54),  (2, 0),    (1, 54)),
        ];
        for (ours, oldest, newest, spoken) in rows {
            assert_eq!(choose(ours, oldest, newest), spoken, "{oldest:?} to {newest:?}");
        }
    }

    #[test]
    fn a_path_names_one_version() {
        #[rustfmt::skip]
        let rows = [
            ("unix://2f72756e/containers/json?all=true", Some("unix://2f72756e/v1.41/containers/json?all=true")),
            ("unix://2f72756e/volumes/a",                Some("unix://2f72756e/v1.41/volumes/a")),
            ("unix://2f72756e/v1.43/containers/json",    None),
        ];
        for (uri, expected) in rows {
            let named = versioned(&uri.parse().unwrap(), (1, 41)).map(|uri| uri.to_string());
            assert_eq!(named.as_deref(), expected, "{uri}");
        }
    }
}
