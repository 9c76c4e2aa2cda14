//! What becomes of a request: looked up in the sidecar's own file, held against its own limits, done through Docker.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::config::model::{HealSpec, Step, UpstreamSpec};
use crate::docker::{
    ContainerId, ContainerRef, ContainerState, Docker, DockerError, DockerStatus, ExecError, FindError, Seen,
    SidecarRefusal,
};
use crate::heal::{StepDone, run_step, step_place};
use crate::types::{OwnedTask, ServerAddress, UpstreamName, millis};

use super::counters::Counters;
use super::failure::WireFailure;
use super::fitting::{WORDS_MAX, fitting};
use super::gate::HealTerms;
use super::rate::Rate;
use super::rules::Rules;
use super::wire::{self, Container, Reply, SidecarRequest, SidecarStatus, WireTarget, longest, sum};

/// Requests that ask Docker something, per second, and how many at once.
const QUESTIONS: (u32, u32) = (10, 40);
/// How long Docker may take to say that it is there.
const PING: Duration = Duration::from_secs(2);
/// Between a step's end and the next one's beginning the check is given `verify`; its last probe and the way may take longer.
const SLACK: Duration = Duration::from_secs(15);
/// Backends whose container is remembered between `find` and the step.
const FOUND_MAX: usize = 1024;

/// Answers requests. What it runs goes on to its end whether or not anybody waits for it.
pub(super) struct RequestHandler {
    docker: Docker,
    rules: Arc<Rules>,
    counters: Arc<Mutex<Counters>>,
    questions: Mutex<Rate>,
    /// The container that was shown for a backend last: a step is for that one and not for its successor.
    found: Mutex<HashMap<WireTarget, ContainerId>>,
    /// Steps under way; the gate bounds them.
    tasks: Mutex<Vec<OwnedTask>>,
    steps: AtomicU64,
    refused: AtomicU64,
    pub(super) closed: AtomicU64,
}

impl RequestHandler {
    pub(super) fn new(docker: Docker, rules: Arc<Rules>, counters: Counters) -> Self {
        Self {
            docker,
            rules,
            counters: Arc::new(Mutex::new(counters)),
            questions: Mutex::new(Rate::new(QUESTIONS.0, QUESTIONS.1)),
            found: Mutex::default(),
            tasks: Mutex::default(),
            steps: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        }
    }

    pub(super) async fn answer(self: &Arc<Self>, request: SidecarRequest) -> Reply {
        match request {
            SidecarRequest::Status => {
                // What it says about Docker is to be of now, within bounds.
                if self.questions.lock().take(Instant::now()) {
                    let _ = tokio::time::timeout(PING, self.docker.ping()).await;
                }
                Reply::Status(self.status())
            }
            SidecarRequest::Find(target) => self.find(target).await.map_or_else(failed, Reply::Container),
            SidecarRequest::Logs(target) => self.logs(&target).await.map_or_else(failed, Reply::Logs),
            SidecarRequest::Step { target, index, sum } => match self.step(target, index, sum).await {
                Ok(done) => Reply::Done(wire::Done {
                    code: done.code,
                    output: fitting(&done.output, WORDS_MAX),
                    took_ms: millis(done.took),
                }),
                Err(failure) => Reply::Failed(failure),
            },
            // The connection watches; see `listener`.
            SidecarRequest::Watch => Reply::Beat,
        }
    }

    /// Tells what happens to containers of upstreams, until nobody listens.
    pub(super) async fn watch(&self, tell: mpsc::Sender<Seen>) {
        self.docker.watch_members(tell, || self.rules.servers()).await;
    }

    /// Steps that run now.
    pub(super) fn running(&self) -> usize {
        self.counters.lock().running()
    }

    fn status(&self) -> SidecarStatus {
        let docker = match self.docker.status() {
            DockerStatus::Off => "off".to_owned(),
            DockerStatus::Untried => "not contacted yet".to_owned(),
            DockerStatus::Answers => "responds".to_owned(),
            DockerStatus::Fails(why) => fitting(&why, 500),
        };
        SidecarStatus {
            docker,
            upstreams: self.rules.current().upstreams.values().filter(|upstream| upstream.heal.is_some()).count(),
            steps: self.steps.load(Ordering::Relaxed),
            running: self.running(),
            refused: self.refused.load(Ordering::Relaxed),
            closed: self.closed.load(Ordering::Relaxed),
        }
    }

    async fn find(&self, target: WireTarget) -> Result<Container, FindError> {
        let (spec, container) = self.locate(&target).await?;
        if let Some(heal) = &spec.heal {
            self.counters.lock().may_begin(&target.upstream, &container.id, &terms(&spec, heal, None))?;
        }
        let shown = Container {
            id: container.id.as_str().to_owned(),
            name: container.name.to_string(),
            state: container.state,
            started_ms: container.started_at.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).map(millis),
            start_period_ms: millis(container.start_period),
        };
        let mut found = self.found.lock();
        if FOUND_MAX <= found.len() {
            found.clear();
        }
        found.insert(target, container.id);
        Ok(shown)
    }

    async fn logs(&self, target: &WireTarget) -> Result<String, FindError> {
        let (_, container) = self.locate(target).await?;
        Ok(fitting(&self.docker.logs(&container).await, WORDS_MAX))
    }

    /// The container of a backend of the sidecar's own file.
    async fn locate(&self, target: &WireTarget) -> Result<(Arc<UpstreamSpec>, ContainerRef), FindError> {
        let stranger = |why: &str| FindError::Stranger {
            address: target.backend,
            upstream: target.upstream.to_string(),
            why: why.to_owned(),
        };
        let site = self.rules.current();
        let spec = site.upstreams.get(&target.upstream).ok_or_else(|| stranger("there is no such upstream"))?;
        if spec.heal.is_none() {
            return Err(stranger("the upstream has no `heal`"));
        }
        if !self.questions.lock().take(Instant::now()) {
            let again_in = Some(Duration::from_secs(1));
            return Err(SidecarRefusal { why: "too many requests".into(), again_in }.into());
        }
        let servers: Vec<ServerAddress> = spec.servers.iter().map(|server| server.address.clone()).collect();
        let container = self.docker.find_member(&target.upstream, &servers, target.backend).await?;
        Ok((Arc::clone(spec), container))
    }

    async fn step(self: &Arc<Self>, target: WireTarget, index: usize, asked: u32) -> Result<StepDone, WireFailure> {
        let (spec, container) = self.locate(&target).await.map_err(WireFailure::from)?;
        let step = spec.heal.as_ref().and_then(|heal| Some((heal, heal.steps.get(index)?)));
        let Some((heal, step)) = step.filter(|(_, step)| sum(step) == asked) else {
            let why = format!(
                "its file has a different `heal` for `{}`; edge and sidecar must read the same file",
                target.upstream
            );
            return Err(self.refuse(&target, index, SidecarRefusal { why, again_in: None }));
        };
        let shown = self.found.lock().get(&target).cloned();
        if shown.is_some_and(|shown| shown != container.id) {
            return Err(ExecError::Gone(container.name).into());
        }
        // A step is for what is sick, and what was stopped is not.
        if !matches!(container.state, ContainerState::Running | ContainerState::Unknown) {
            return Err(ExecError::NotRunning { container: container.name, state: container.state }.into());
        }
        let terms = terms(&spec, heal, Some(step));
        let (counters, upstream, id) = (Arc::clone(&self.counters), target.upstream.clone(), container.id.clone());
        let counted = aside(move || counters.lock().begin(&upstream, &id, index, &terms)).await;
        counted.map_err(|refusal| self.refuse(&target, index, refusal))?;
        let place = step_place(index, heal.steps.len(), step);
        let work = Work { upstream: target.upstream, backend: target.backend, container, place, step: step.clone() };
        self.run(work, heal.timeout).await
    }

    /// Runs a step that was counted, in a task of its own.
    async fn run(self: &Arc<Self>, work: Work, limit: Duration) -> Result<StepDone, WireFailure> {
        let (tell, told) = oneshot::channel();
        let handler = Arc::clone(self);
        self.steps.fetch_add(1, Ordering::Relaxed);
        let task = OwnedTask::spawn(async move {
            let most = longest(&work.step, limit);
            let result =
                match tokio::time::timeout(most, run_step(&handler.docker, &work.container, &work.step, limit)).await {
                    Ok(result) => result,
                    Err(_) => Err(ExecError::TimedOut {
                        command: work.step.to_string(),
                        container: work.container.name.clone(),
                        limit: most,
                        output: String::new(),
                    }),
                };
            let (counters, id, acted) =
                (Arc::clone(&handler.counters), work.container.id.clone(), may_have_acted(&result));
            aside(move || counters.lock().end(&id, acted)).await;
            work.tell(&result);
            // Nobody waits where the edge has ended meanwhile.
            let _ = tell.send(result.map_err(WireFailure::from));
        });
        self.own(task);
        told.await
            .unwrap_or_else(|_| Err(ExecError::Docker(DockerError::Silent("the sidecar is stopping".into())).into()))
    }

    fn own(&self, task: OwnedTask) {
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    fn refuse(&self, target: &WireTarget, index: usize, refusal: SidecarRefusal) -> WireFailure {
        let before = self.refused.fetch_add(1, Ordering::Relaxed);
        // One line a refusal would be a way to fill the disk.
        if before < 10 || before.is_power_of_two() {
            let WireTarget { upstream, backend } = target;
            log::warn!("step {} for {backend} of {upstream}: {refusal} ({} so far)", index + 1, before + 1);
        }
        refusal.into()
    }
}

/// A step with where and for whom.
struct Work {
    upstream: UpstreamName,
    backend: SocketAddr,
    container: ContainerRef,
    /// Which of how many, and what it is.
    place: String,
    step: Step,
}

impl Work {
    fn tell(&self, result: &Result<StepDone, ExecError>) {
        let Self { upstream, backend, container, place, .. } = self;
        let what = format!("{place} for {backend} of {upstream} in {}", container.label());
        match result {
            Ok(StepDone { code, took, .. }) => {
                let code = code.map(|code| format!("exit code {code} ")).unwrap_or_default();
                log::info!("{what}: {code}after {:.2}s", took.as_secs_f64());
            }
            Err(error) => log::warn!("{what}: {error}"),
        }
    }
}

fn failed(error: FindError) -> Reply {
    Reply::Failed(error.into())
}

fn terms(spec: &UpstreamSpec, heal: &HealSpec, step: Option<&Step>) -> HealTerms {
    let probe = spec.check.as_ref().map_or(Duration::ZERO, |check| check.timeout);
    HealTerms {
        cooldown: heal.cooldown,
        budget: heal.budget,
        patience: heal.verify + probe + SLACK,
        longest: step.map_or(Duration::ZERO, |step| longest(step, heal.timeout)),
    }
}

/// False only where it is certain that nothing was done: in doubt a step counts.
fn may_have_acted(result: &Result<StepDone, ExecError>) -> bool {
    match result {
        Err(ExecError::NotRunning { .. } | ExecError::Gone(_) | ExecError::Refused(_)) => false,
        Err(ExecError::Docker(error)) => {
            !matches!(error, DockerError::Off | DockerError::NoSocket(_) | DockerError::Denied(_))
        }
        Ok(_)
        | Err(
            ExecError::NotFound { .. }
            | ExecError::NotExecutable { .. }
            | ExecError::BadCommand(_)
            | ExecError::TimedOut { .. }
            | ExecError::Busy { .. }
            | ExecError::WouldDisarm { .. },
        ) => true,
    }
}

/// Runs what waits for the disk where it holds nobody up.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let value = match tokio::task::spawn_blocking(work).await {
        Ok(value) => Some(value),
        Err(error) => error.try_into_panic().map_or(None, |panic| std::panic::resume_unwind(panic)),
    };
    match value {
        Some(value) => value,
        // Never started: the process ends, and this with it.
        None => std::future::pending().await,
    }
}
