//! What Docker does with the containers of the edge's project, as it happens: whoever stops a container has a plan, and a
//! plan is no sickness.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::errors::Error as Bollard;
use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, EndpointSettings, EventMessage,
};
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::types::ServerAddress;

use super::client::{CALL_LIMIT, Docker};
use super::container::{ContainerId, ContainerName};
use super::error::{DockerError, one_line};
use super::identity::{PROJECT_LABEL, SERVICE_LABEL};

/// Pause before the daemon is listened to again after it fell silent; the breaker makes it longer where it stays so.
const AGAIN: Duration = Duration::from_secs(1);
/// The same where it refuses.
const REFUSED: Duration = Duration::from_secs(10 * 60);
/// What is listened to. Docker makes three events of each of its own health probes, which would be most of them.
const ACTIONS: [&str; 7] = ["kill", "die", "stop", "start", "pause", "unpause", "destroy"];
/// Signals by which containers are stopped: INT, QUIT, ABRT, KILL, TERM, and systemd's RTMIN+3. A heal's HUP is none.
const STOPPING: [&str; 6] = ["2", "3", "6", "9", "15", "37"];

/// Something that Docker does with a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The container's addresses on all of its networks.
    pub addresses: Vec<IpAddr>,
    /// Its name.
    pub container: ContainerName,
    /// What becomes of it.
    pub what: Happening,
}

/// What becomes of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// It was told to end, or has ended.
    Stops,
    /// It was paused.
    Freezes,
    /// It was started or goes on.
    Starts,
}

/// Where containers were last seen: one that has ended has no address any more.
#[derive(Debug, Default)]
struct KnownContainers(HashMap<ContainerId, KnownContainer>);

#[derive(Debug, Clone)]
struct KnownContainer {
    container: ContainerName,
    addresses: Vec<IpAddr>,
    /// Its compose service, and its aliases as far as they are known.
    names: Vec<String>,
}

/// Whom a listener wants to hear of.
type Wanted<'w> = &'w (dyn Fn(&KnownContainer) -> bool + Send + Sync);

impl Docker {
    /// Tells what happens to containers until nobody listens any more. Listens again, after a pause, where the daemon
    /// goes away; what happened meanwhile is not told.
    pub async fn watch(&self, tell: mpsc::Sender<Seen>) {
        self.watch_some(tell, &|_| true).await;
    }

    /// The same for the containers of servers alone, which are asked for at each event. A container that is known by
    /// nothing but an alias counts from its next start on.
    pub async fn watch_members(
        &self,
        tell: mpsc::Sender<Seen>,
        servers: impl Fn() -> Vec<ServerAddress> + Send + Sync,
    ) {
        self.watch_some(tell, &|place| servers().iter().any(|server| place.is_of(server))).await;
    }

    async fn watch_some(&self, tell: mpsc::Sender<Seen>, wanted: Wanted<'_>) {
        while !tell.is_closed() {
            let pause = match self.listen(&tell, wanted).await {
                Ok(()) => AGAIN,
                Err(DockerError::Off) => return,
                Err(error @ DockerError::Refused { .. }) => {
                    log::warn!(
                        "docker: cannot subscribe to Docker events: {error}; a replaced container looks like a failing one"
                    );
                    REFUSED
                }
                Err(error) => {
                    log::debug!("docker: cannot subscribe to Docker events: {error}");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = tell.closed() => {}
            }
        }
    }

    async fn listen(&self, tell: &mpsc::Sender<Seen>, wanted: Wanted<'_>) -> Result<(), DockerError> {
        // From before the list, so that nothing falls between the two.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let project = self.scope().await?.project.or_else(|| self.pinned_project.get().cloned());
        let options = ListContainersOptions { all: true, ..Default::default() };
        let listed = self.call(CALL_LIMIT, |docker| async move { docker.list_containers(Some(options)).await }).await?;
        let mut known = KnownContainers::default();
        let ids = listed.iter().filter_map(|summary| ContainerId::parse(summary.id.as_deref()?).ok());
        self.overdue.lock().keep_those_of(&ids.collect());
        for summary in &listed {
            known.list(summary);
            let label = summary.labels.as_ref().and_then(|labels| labels.get(PROJECT_LABEL));
            let is_ours = project.is_none() || label == project.as_ref();
            // What was started while nobody listened is there now.
            if let Some(seen) = known.running(summary, wanted).filter(|_| is_ours)
                && tell.send(seen).await.is_err()
            {
                return Ok(());
            }
        }
        let mut filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), ACTIONS.map(str::to_owned).to_vec()),
        ]);
        if let Some(project) = project {
            filters.insert("label".to_owned(), vec![format!("{PROJECT_LABEL}={project}")]);
        }
        let since = format!("{}.{:09}", since.as_secs(), since.subsec_nanos());
        let options = EventsOptions { since: Some(since), filters: Some(filters), ..Default::default() };
        let events = self.call(CALL_LIMIT, |docker| async move { Ok(Box::pin(docker.events(Some(options)))) }).await?;
        let mut events = events;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = tell.closed() => return Ok(()),
            };
            let event = match event {
                Some(Ok(event)) => event,
                // A proxy in front of Docker may not let them through.
                Some(Err(Bollard::DockerResponseServerError { status_code, message })) => {
                    return Err(DockerError::Refused { status: status_code, message: one_line(&message) });
                }
                // A daemon that goes away.
                Some(Err(_)) | None => return Ok(()),
            };
            let Some(seen) = self.read_event(&mut known, &event, wanted).await else { continue };
            if tell.send(seen).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn read_event(&self, known: &mut KnownContainers, event: &EventMessage, wanted: Wanted<'_>) -> Option<Seen> {
        let id = ContainerId::parse(event.actor.as_ref()?.id.as_deref()?).ok()?;
        let what = happening(event)?;
        if matches!(event.action.as_deref(), Some("die" | "destroy")) {
            // What ran in it has ended with it.
            self.overdue.lock().remove(&id);
        }
        if what == Happening::Starts
            && let Ok(answer) = self.inspect(&id).await
        {
            known.inspected(&answer);
        }
        let place = known.0.get(&id)?.clone();
        match event.action.as_deref() {
            Some("destroy") => _ = known.0.remove(&id),
            // Its addresses are free, and may be another's by the time that it is removed.
            Some("die") => known.release(&id),
            _ => {}
        }
        if place.addresses.is_empty() {
            return None;
        }
        let is_wanted = wanted(&place);
        let KnownContainer { container, addresses, .. } = place;
        is_wanted.then_some(Seen { addresses, container, what })
    }
}

fn happening(event: &EventMessage) -> Option<Happening> {
    let attributes = event.actor.as_ref()?.attributes.as_ref();
    match event.action.as_deref()? {
        "kill" => {
            let signal = attributes?.get("signal")?;
            STOPPING.contains(&signal.as_str()).then_some(Happening::Stops)
        }
        "die" | "stop" | "destroy" => Some(Happening::Stops),
        "pause" => Some(Happening::Freezes),
        "start" | "unpause" => Some(Happening::Starts),
        _ => None,
    }
}

impl KnownContainer {
    fn is_of(&self, server: &ServerAddress) -> bool {
        let host = server.host();
        let mut names = self.names.iter().map(String::as_str).chain([self.container.as_str()]);
        server.ip().is_some_and(|ip| self.addresses.contains(&ip)) || names.any(|name| name.eq_ignore_ascii_case(host))
    }
}

impl KnownContainers {
    fn release(&mut self, id: &ContainerId) {
        if let Some(place) = self.0.get_mut(id) {
            place.addresses.clear();
        }
    }

    fn list(&mut self, summary: &ContainerSummary) {
        let ends = summary.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        let name = summary.names.as_ref().and_then(|names| names.first());
        self.add(summary.id.as_deref(), name.map(String::as_str), summary.labels.as_ref(), ends);
    }

    fn running(&self, summary: &ContainerSummary, wanted: Wanted<'_>) -> Option<Seen> {
        if summary.state != Some(ContainerSummaryStateEnum::RUNNING) {
            return None;
        }
        let id = ContainerId::parse(summary.id.as_deref()?).ok()?;
        let place = self.0.get(&id)?;
        wanted(place).then(|| Seen {
            addresses: place.addresses.clone(),
            container: place.container.clone(),
            what: Happening::Starts,
        })
    }

    fn inspected(&mut self, answer: &ContainerInspectResponse) {
        let ends = answer.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        let labels = answer.config.as_ref().and_then(|config| config.labels.as_ref());
        self.add(answer.id.as_deref(), answer.name.as_deref(), labels, ends);
    }

    fn add(
        &mut self,
        id: Option<&str>,
        name: Option<&str>,
        labels: Option<&HashMap<String, String>>,
        ends: Option<&HashMap<String, EndpointSettings>>,
    ) {
        let (Some(Ok(id)), Some(Ok(container))) = (id.map(ContainerId::parse), name.map(ContainerName::parse)) else {
            return;
        };
        let ends = || ends.into_iter().flat_map(HashMap::values);
        let texts = ends().flat_map(|end| [&end.ip_address, &end.global_ipv6_address]).flatten();
        let addresses: HashSet<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
        let mut names: Vec<String> = ends().flat_map(|end| end.aliases.iter().flatten().cloned()).collect();
        names.extend(labels.and_then(|labels| labels.get(SERVICE_LABEL)).cloned());
        self.0.insert(id, KnownContainer { container, addresses: addresses.into_iter().collect(), names });
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;
    use crate::config::model::DockerSpec;
    use crate::docker::overdue::OverdueCommand;

    fn event(action: &str, signal: Option<&str>) -> EventMessage {
        EventMessage {
            action: Some(action.to_owned()),
            actor: Some(EventActor {
                id: Some("0123456789ab".to_owned()),
                attributes: Some(signal.map(|number| ("signal".to_owned(), number.to_owned())).into_iter().collect()),
            }),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn what_ran_in_a_container_ends_with_it() {
        let docker = Docker::connect(&DockerSpec::Off);
        let id = ContainerId::parse("0123456789ab").unwrap();
        let command = OverdueCommand { exec_id: "abc".to_owned(), command: "sleep 9".to_owned() };
        docker.overdue.lock().insert(id.clone(), command.clone());
        let mut known = KnownContainers::default();
        docker.read_event(&mut known, &event("pause", None), &|_| true).await;
        assert_eq!(docker.overdue.lock().get(&id), Some(command), "who is paused goes on");
        docker.read_event(&mut known, &event("die", None), &|_| true).await;
        assert_eq!(docker.overdue.lock().get(&id), None);
    }

    #[test]
    fn members_are_known_by_service_name_alias_or_address() {
        let place = KnownContainer {
            container: ContainerName::parse("shop_backend_1").unwrap(),
            addresses: vec!["172.18.0.3".parse().unwrap()],
            names: vec!["backend".to_owned(), "api".to_owned()],
        };
        #[rustfmt::skip]
        let rows = [
            ("backend:80", true), ("API:80", true), ("shop_backend_1:80", true), ("172.18.0.3:80", true),
            ("database:80", false), ("172.18.0.4:80", false),
        ];
        for (server, is_of) in rows {
            assert_eq!(place.is_of(&ServerAddress::parse(server).unwrap()), is_of, "{server}");
        }
    }

    #[test]
    fn only_what_ends_or_begins_a_container_counts() {
        #[rustfmt::skip]
        let rows = [
            ("kill",        Some("15"), Some(Happening::Stops)),
            ("kill",        Some("9"),  Some(Happening::Stops)),
            ("kill",        Some("1"),  None),                      // a heal by the API
            ("kill",        None,       None),
            ("die",         None,       Some(Happening::Stops)),
            ("pause",       None,       Some(Happening::Freezes)),
            ("unpause",     None,       Some(Happening::Starts)),
            ("start",       None,       Some(Happening::Starts)),
            ("exec_create: sh", None,   None),
            ("health_status: unhealthy", None, None),
        ];
        for (action, signal, expected) in rows {
            assert_eq!(happening(&event(action, signal)), expected, "{action} {signal:?}");
        }
    }
}
