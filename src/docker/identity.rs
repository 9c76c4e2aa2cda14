//! Which container the edge itself runs in, and what it may touch from there. Guesses are verified with the daemon.

use std::collections::BTreeSet;
use std::env;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;

use super::client::{CALL_LIMIT, Docker};
use super::container::ContainerId;
use super::error::DockerError;

/// Compose writes these on every container it makes.
pub(super) const PROJECT_LABEL: &str = "com.docker.compose.project";
pub(super) const SERVICE_LABEL: &str = "com.docker.compose.service";
pub(super) const ONEOFF_LABEL: &str = "com.docker.compose.oneoff";
/// Compose's own variable: the project where the edge's container does not tell it.
const PROJECT_VARIABLE: &str = "COMPOSE_PROJECT_NAME";

/// What the edge may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    /// The edge's own container; `None` on a host.
    pub own: Option<ContainerId>,
    /// The only compose project whose containers are touched; `None` when nothing tells it.
    pub project: Option<String>,
    /// Networks on which an address means a container.
    pub reach: Reach,
}

/// The networks an address may be on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// The edge is on the host or in its network: every container's address, and published ports.
    Host,
    /// Ids of the networks the edge's container is on.
    Networks(BTreeSet<String>),
}

impl Docker {
    /// What the edge may touch, as of now: networks can be connected while it runs.
    pub(super) async fn scope(&self) -> Result<Scope, DockerError> {
        let known = self.own.get().cloned();
        let (own, answer) = match known {
            Some(None) => (None, None),
            Some(Some(id)) => {
                let answer = self.inspect(&id).await?;
                (Some(id), Some(answer))
            }
            None => {
                let found = self.find_self().await?;
                let id = found.as_ref().and_then(|answer| ContainerId::parse(answer.id.as_deref()?).ok());
                _ = self.own.set(id.clone());
                (id, found)
            }
        };
        let fallback = env::var(PROJECT_VARIABLE).ok().filter(|project| !project.is_empty());
        Ok(match answer {
            Some(answer) => scope_of(own, &answer, fallback),
            None => Scope { own: None, project: fallback, reach: Reach::Host },
        })
    }

    pub(super) async fn inspect(&self, id: &ContainerId) -> Result<ContainerInspectResponse, DockerError> {
        let id = id.as_str().to_owned();
        self.call(
            CALL_LIMIT,
            |docker| async move { docker.inspect_container(&id, None::<InspectContainerOptions>).await },
        )
        .await
    }

    pub(super) async fn find_self(&self) -> Result<Option<ContainerInspectResponse>, DockerError> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let guesses = guesses(
            &read("/proc/self/mountinfo"),
            &read("/proc/self/cgroup"),
            read("/proc/sys/kernel/hostname").trim(),
        );
        for guess in guesses {
            match self.inspect(&guess).await {
                Ok(answer) if is_self(&guess, &answer) => return Ok(Some(answer)),
                Ok(_) | Err(DockerError::Refused { status: 404, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

fn scope_of(own: Option<ContainerId>, answer: &ContainerInspectResponse, fallback: Option<String>) -> Scope {
    let label = answer.config.as_ref().and_then(|config| config.labels.as_ref()?.get(PROJECT_LABEL)).cloned();
    let on_host = answer.host_config.as_ref().and_then(|host| host.network_mode.as_deref()) == Some("host");
    let networks = answer.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let reach = if on_host {
        Reach::Host
    } else {
        Reach::Networks(networks.into_iter().flatten().filter_map(|(_, end)| end.network_id.clone()).collect())
    };
    Scope { own, project: label.or(fallback), reach }
}

/// Ids to try, best first.
fn guesses(mountinfo: &str, cgroup: &str, hostname: &str) -> Vec<ContainerId> {
    let mut ids = Vec::new();
    // Docker mounts these three from its folder of the container. Other lines may name other containers: on a host, all.
    for line in mountinfo.lines() {
        let mut fields = line.split(' ').skip(3);
        let (root, mounted_at) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        if matches!(mounted_at, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf") {
            ids.extend(root.split_once("/containers/").and_then(|(_, rest)| long_id(rest.split('/').next()?)));
        }
    }
    for line in cgroup.lines() {
        let last = line.rsplit('/').next().unwrap_or_default();
        let bare = last.strip_prefix("docker-").unwrap_or(last).trim_end_matches(".scope");
        ids.extend(long_id(bare));
    }
    if hostname.len() == 12 && hostname.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        ids.extend(ContainerId::parse(hostname).ok());
    }
    ids.dedup();
    ids.truncate(5);
    ids
}

fn long_id(text: &str) -> Option<ContainerId> {
    let hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| ContainerId::parse(text).ok()).flatten()
}

/// A long id came from Docker itself; a host name that looks like a short one must be that container's own.
fn is_self(guess: &ContainerId, answer: &ContainerInspectResponse) -> bool {
    let id = answer.id.as_deref().unwrap_or_default();
    let hostname = answer.config.as_ref().and_then(|config| config.hostname.as_deref());
    let running = answer.state.as_ref().and_then(|state| state.running).unwrap_or(false);
    let named = guess.as_str().len() == 64 || hostname == Some(guess.as_str());
    running && named && id.starts_with(guess.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3b0c5e7f9a1d2c4e6b8d0f1a3c5e7b9d1f3a5c7e9b1d3f5a7c9e1b3d5f7a9c1e";
    const OTHER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn found(mountinfo: &str, cgroup: &str, hostname: &str) -> Vec<String> {
        guesses(mountinfo, cgroup, hostname).iter().map(|id| id.as_str().to_owned()).collect()
    }

    #[test]
    fn a_container_is_known_by_what_docker_mounts_into_it() {
        let mountinfo = format!(
            "612 588 254:1 /var/lib/docker/containers/{OTHER}/mounts/shm /dev/shm rw - tmpfs shm rw\n\
             633 588 254:1 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda rw\n\
             634 588 254:1 /data/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda rw\n"
        );
        assert_eq!(found(&mountinfo, "0::/\n", "manager"), [ID]);
    }

    #[test]
    fn cgroups_and_host_names_are_second_and_third() {
        assert_eq!(found("", &format!("12:pids:/docker/{ID}\n0::/\n"), "x"), [ID]);
        assert_eq!(found("", &format!("0::/system.slice/docker-{ID}.scope\n"), "x"), [ID]);
        assert_eq!(found("", "0::/\n", "3b0c5e7f9a1d"), ["3b0c5e7f9a1d"]);
        assert!(found("", "0::/user.slice/session-1.scope\n", "laptop").is_empty());
        assert!(found("garbage\n\n 1 2", "///", "").is_empty());
    }

    #[test]
    fn a_host_that_is_called_like_a_container_is_no_container() {
        let answer = |hostname: &str| ContainerInspectResponse {
            id: Some(ID.into()),
            config: Some(bollard::models::ContainerConfig { hostname: Some(hostname.into()), ..Default::default() }),
            state: Some(bollard::models::ContainerState { running: Some(true), ..Default::default() }),
            ..Default::default()
        };
        let short = ContainerId::parse("3b0c5e7f9a1d").unwrap();
        assert!(is_self(&short, &answer("3b0c5e7f9a1d")));
        assert!(!is_self(&short, &answer("db")));
        assert!(is_self(&ContainerId::parse(ID).unwrap(), &answer("anything")));
        assert!(!is_self(&ContainerId::parse(OTHER).unwrap(), &answer("anything")));
    }
}
