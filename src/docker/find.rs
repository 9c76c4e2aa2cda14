//! Which container a backend is: by its address on a network shared with the edge, else by compose labels. Only inside
//! the edge's compose project, and never the edge itself.

use std::net::{IpAddr, SocketAddr};

use bollard::models::{ContainerSummary, PortSummaryTypeEnum};
use bollard::query_parameters::ListContainersOptions;

use super::client::{CALL_LIMIT, Docker};
use super::container::{ContainerId, ContainerName, ContainerRef};
use super::error::{DockerError, FindError, one_line};
use super::identity::{ONEOFF_LABEL, PROJECT_LABEL, Reach, SERVICE_LABEL, Scope};

impl Docker {
    /// The container behind `address`, which was resolved from the server name `server`, whatever state it is in.
    ///
    /// Where the edge has a compose project (its own container's label, else `COMPOSE_PROJECT_NAME`), only that project's
    /// containers are found. Where it has none, on a host, the container must be found by address and carry a project's
    /// label, and the first project found is the only one from then on.
    ///
    /// # Errors
    /// When there is none, it cannot be told which, it is somebody else's, or Docker cannot be asked.
    pub async fn find(&self, address: SocketAddr, server: &str) -> Result<ContainerRef, FindError> {
        let mut scope = self.scope().await?;
        if scope.project.is_none() {
            scope.project = self.pinned_project.get().cloned();
        }
        let candidates = self.candidates().await?;
        let chosen = choose(&candidates, &scope, address, server)?;
        if let (None, Some(project)) = (&scope.project, &chosen.project)
            && self.pinned_project.set(project.clone()).is_ok()
        {
            log::info!("docker: the edge belongs to no Compose project; from now on it heals only `{project}`");
        }
        let answer = match self.inspect(&chosen.id).await {
            Err(DockerError::Refused { status: 404, .. }) => {
                return Err(FindError::Gone { address, server: server.into() });
            }
            other => other?,
        };
        ContainerRef::from_inspect(&answer)
            .ok_or_else(|| FindError::Docker(DockerError::Malformed(format!("inspect of `{}`", chosen.name))))
    }

    /// Every container there is, running or not.
    pub(super) async fn candidates(&self) -> Result<Vec<Candidate>, DockerError> {
        let options = ListContainersOptions { all: true, ..Default::default() };
        let listed = self.call(CALL_LIMIT, |docker| async move { docker.list_containers(Some(options)).await }).await?;
        Ok(listed.iter().filter_map(Candidate::read).collect())
    }
}

/// One line of the list of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub id: ContainerId,
    pub name: ContainerName,
    pub project: Option<String>,
    service: Option<String>,
    /// `docker compose run`: named like a service, not part of it.
    pub is_oneoff: bool,
    /// Network id and address; none when it does not run.
    pub addresses: Vec<(String, IpAddr)>,
    /// Ports of the host that lead to it.
    published: Vec<(IpAddr, u16)>,
}

impl Candidate {
    pub(super) fn read(summary: &ContainerSummary) -> Option<Self> {
        let label = |key: &str| summary.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
        let networks = summary.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        let mut addresses = Vec::new();
        for end in networks.into_iter().flatten().map(|(_, end)| end) {
            let network = end.network_id.clone().unwrap_or_default();
            for text in [&end.ip_address, &end.global_ipv6_address].into_iter().flatten() {
                addresses.extend(text.parse().ok().map(|address: IpAddr| (network.clone(), address)));
            }
        }
        let ports = summary.ports.iter().flatten().filter(|port| port.typ == Some(PortSummaryTypeEnum::TCP));
        let published = ports.filter_map(|port| Some((port.ip.as_deref()?.parse().ok()?, port.public_port?))).collect();
        Some(Self {
            id: ContainerId::parse(summary.id.as_deref()?).ok()?,
            name: ContainerName::parse(summary.names.as_ref()?.first()?).ok()?,
            project: label(PROJECT_LABEL),
            service: label(SERVICE_LABEL),
            is_oneoff: label(ONEOFF_LABEL).is_some_and(|value| value.eq_ignore_ascii_case("true")),
            addresses,
            published,
        })
    }

    fn has(&self, address: SocketAddr, reach: &Reach) -> bool {
        match reach {
            Reach::Networks(shared) => {
                self.addresses.iter().any(|(network, ip)| *ip == address.ip() && shared.contains(network))
            }
            Reach::Host => {
                let published = |(ip, port): &(IpAddr, u16)| {
                    *port == address.port()
                        && (*ip == address.ip() || (ip.is_unspecified() && address.ip().is_loopback()))
                };
                self.addresses.iter().any(|(_, ip)| *ip == address.ip()) || self.published.iter().any(published)
            }
        }
    }

    pub(super) fn is_called(&self, server: &str) -> bool {
        let service = self.service.as_deref().is_some_and(|service| service.eq_ignore_ascii_case(server));
        service || self.name.as_str().eq_ignore_ascii_case(server)
    }
}

pub(super) fn choose<'c>(
    candidates: &'c [Candidate],
    scope: &Scope,
    address: SocketAddr,
    server: &str,
) -> Result<&'c Candidate, FindError> {
    let is_own = |candidate: &Candidate| scope.own.as_ref() == Some(&candidate.id);
    let is_ours = |candidate: &Candidate| match (&scope.project, &candidate.project) {
        (Some(ours), Some(theirs)) => ours == theirs,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let at_address: Vec<&Candidate> = candidates.iter().filter(|one| one.has(address, &scope.reach)).collect();
    match at_address.as_slice() {
        [one] if is_own(one) => return Err(FindError::Own(address)),
        [one] if is_ours(one) => return Ok(one),
        [one] => return Err(foreign(address, one)),
        [] => {}
        many => return Err(FindError::Ambiguous { address, server: server.into(), count: many.len() }),
    }
    // A running container has its address, and it is another one. What is left is one that does not run, or one whose
    // addresses the edge cannot know because they share no network.
    let may_be = |one: &&Candidate| {
        let known = one.addresses.iter().any(|(network, _)| match &scope.reach {
            Reach::Host => true,
            Reach::Networks(shared) => shared.contains(network),
        });
        scope.project.is_some() && is_ours(one) && !is_own(one) && !one.is_oneoff && one.is_called(server) && !known
    };
    let by_label: Vec<&Candidate> = candidates.iter().filter(may_be).collect();
    match by_label.as_slice() {
        [one] => Ok(one),
        [] => Err(FindError::Gone { address, server: server.into() }),
        many => Err(FindError::Ambiguous { address, server: server.into(), count: many.len() }),
    }
}

fn foreign(address: SocketAddr, candidate: &Candidate) -> FindError {
    let owner = match &candidate.project {
        Some(project) => format!("the Compose project `{}`", one_line(project)),
        None => "no Compose project".into(),
    };
    FindError::Foreign { address, container: candidate.name.clone(), owner }
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;
