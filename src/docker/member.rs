//! Which container a backend is, as the sidecar may know it: one that belongs to one of an upstream's servers, or none.
//!
//! The sidecar is on no network, and who asks it is not believed: an address alone chooses among the containers of the
//! servers in the sidecar's own file, and never one beside them.

use std::net::SocketAddr;

use bollard::models::{ContainerInspectResponse, EndpointSettings};

use crate::types::{ServerAddress, UpstreamName};

use super::client::Docker;
use super::container::{ContainerName, ContainerRef};
use super::error::{DockerError, FindError, SidecarRefusal};
use super::find::{Candidate, choose};
use super::identity::{Reach, Scope};

impl Docker {
    /// The container behind `address`, where it belongs to one of `servers`: by its compose service, its name, an alias on
    /// the network of that address, or because the server is written as that address. Only inside the project of the
    /// sidecar's own container, else of `COMPOSE_PROJECT_NAME`.
    ///
    /// # Errors
    /// When there is none, it belongs to nobody or somebody else, or Docker cannot be asked.
    pub async fn find_member(
        &self,
        upstream: &UpstreamName,
        servers: &[ServerAddress],
        address: SocketAddr,
    ) -> Result<ContainerRef, FindError> {
        let stranger = |why: String| FindError::Stranger { address, upstream: upstream.to_string(), why };
        let meant: Vec<&ServerAddress> = servers.iter().filter(|server| server.port() == address.port()).collect();
        let Some(first) = meant.first() else {
            return Err(stranger(format!("none of its servers has port {}", address.port())));
        };
        let scope = self.member_scope().await?;
        let candidates = self.candidates().await?;
        let chosen = choose_member(&candidates, &scope, address, &meant)?;
        let gone = || FindError::Gone { address, server: first.host().into() };
        let answer = match self.inspect(&chosen.id).await {
            Err(DockerError::Refused { status: 404, .. }) => return Err(gone()),
            other => other?,
        };
        if !meant.iter().any(|server| is_of(chosen, &answer, server, address)) {
            return Err(stranger(format!(
                "container `{}` has the address, but is not one of its servers",
                chosen.name
            )));
        }
        read(&answer, &chosen.name)
    }

    /// Every container that belongs to one of `servers`, with the addresses it has as a backend of it; for the doctor.
    ///
    /// # Errors
    /// When the project is not known, or Docker cannot be asked.
    pub async fn members(&self, servers: &[ServerAddress]) -> Result<Vec<(Vec<SocketAddr>, ContainerRef)>, FindError> {
        let scope = self.member_scope().await?;
        let mut members = Vec::new();
        for candidate in self.candidates().await? {
            if candidate.project != scope.project || scope.own.as_ref() == Some(&candidate.id) {
                continue;
            }
            let Ok(answer) = self.inspect(&candidate.id).await else { continue };
            let ends = || candidate.addresses.iter().map(|(_, ip)| *ip);
            let of = |server: &ServerAddress| {
                let backend = move |ip| SocketAddr::new(ip, server.port());
                let addresses: Vec<_> =
                    ends().map(backend).filter(|at| is_of(&candidate, &answer, server, *at)).collect();
                let is_still =
                    candidate.addresses.is_empty() && !candidate.is_oneoff && candidate.is_called(server.host());
                (is_still || !addresses.is_empty()).then_some(addresses)
            };
            if let Some(addresses) = servers.iter().find_map(of) {
                members.push((addresses, read(&answer, &candidate.name)?));
            }
        }
        Ok(members)
    }

    /// The sidecar's scope: its project's containers, wherever they are.
    async fn member_scope(&self) -> Result<Scope, FindError> {
        let scope = self.scope().await?;
        if scope.project.is_none() {
            let why = "it belongs to no Compose project: start it from the project's Compose file, or set \
            COMPOSE_PROJECT_NAME";
            return Err(SidecarRefusal { why: why.into(), again_in: None }.into());
        }
        Ok(Scope { reach: Reach::Host, ..scope })
    }
}

fn read(answer: &ContainerInspectResponse, name: &ContainerName) -> Result<ContainerRef, FindError> {
    ContainerRef::from_inspect(answer)
        .ok_or_else(|| FindError::Docker(DockerError::Malformed(format!("inspect of `{name}`"))))
}

/// By address; else, where no container has it, by the name of any of the servers.
fn choose_member<'c>(
    candidates: &'c [Candidate],
    scope: &Scope,
    address: SocketAddr,
    servers: &[&ServerAddress],
) -> Result<&'c Candidate, FindError> {
    let mut failure = FindError::Gone { address, server: String::new() };
    for server in servers {
        match choose(candidates, scope, address, server.host()) {
            Ok(candidate) => return Ok(candidate),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// True when requests for `server` may end in this container at `address`.
fn is_of(
    candidate: &Candidate,
    answer: &ContainerInspectResponse,
    server: &ServerAddress,
    address: SocketAddr,
) -> bool {
    if server.port() != address.port() {
        return false;
    }
    let host = server.host();
    let is_written = server.ip() == Some(address.ip()) || (host == "localhost" && address.ip().is_loopback());
    // What `docker compose run` starts carries the service's label without being found under its name.
    is_written || (!candidate.is_oneoff && candidate.is_called(host)) || has_alias(answer, address, host)
}

fn has_alias(answer: &ContainerInspectResponse, address: SocketAddr, host: &str) -> bool {
    let ends = answer.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let is_at = |end: &&EndpointSettings| {
        let texts = [&end.ip_address, &end.global_ipv6_address].into_iter().flatten();
        texts.flat_map(|text| text.parse()).any(|ip: std::net::IpAddr| ip == address.ip())
    };
    let at = ends.into_iter().flat_map(|ends| ends.values()).filter(is_at);
    let mut names = at.flat_map(|end| [&end.aliases, &end.dns_names]).flatten().flatten();
    names.any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
#[path = "member_tests.rs"]
mod tests;
