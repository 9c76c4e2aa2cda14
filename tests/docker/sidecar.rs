//! The real sidecar between a healer, or somebody who is none, and real containers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use remora::config::model::{Preset, Step};
use remora::docker::{DockerError, ExecError, FindError, Happening};
use remora::heal::{BackendRef, ContainerDriver, HealTarget, Healer, LadderOutcome, Order};
use remora::sidecar::Sidecar;
use remora::types::{OwnedTask, ServerAddress, UpstreamName};

use crate::bench::{Box as Container, cli, debian, eventually, say};
use crate::gunicorn::{STARTS, freeze, start};
use crate::healer::{until, ward_of};

/// A sidecar process with a file, counters and a log of its own; killed when dropped.
struct Process {
    child: Child,
    project: String,
    folder: Arc<tempfile::TempDir>,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts one for a container's project; `docker` goes into the file beside the socket.
    fn start(project: &str, upstreams: &str, docker: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let socket = folder.path().join("heal.sock");
        let file = format!(
            "docker: {{ sidecar: {}{docker} }}\nroutes: {{ /: backend }}\nupstreams:\n{upstreams}",
            socket.display()
        );
        std::fs::write(folder.path().join("remora.yaml"), file).unwrap();
        Self::again(project, folder)
    }

    fn again(project: &str, folder: Arc<tempfile::TempDir>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remora"));
        command.arg("sidecar").arg(folder.path().join("remora.yaml")).arg("--state").arg(folder.path());
        let mut child = command.env("COMPOSE_PROJECT_NAME", project).stderr(Stdio::piped()).spawn().unwrap();
        let (log, stderr) = (Arc::new(Mutex::new(String::new())), child.stderr.take().unwrap());
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let process = Self { child, project: project.to_owned(), folder, log };
        eventually("the sidecar listens", || process.log().contains("listening on"));
        process
    }

    /// Killed, and started again with the same file and counters.
    fn killed_and_started_again(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert!(self.socket().exists(), "a killed one leaves its socket");
        Self::again(&self.project.clone(), Arc::clone(&self.folder))
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("heal.sock")
    }

    fn driver(&self) -> Sidecar {
        Sidecar::at(self.socket())
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The most memory it ever held.
    fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the sidecar's log\n{}", self.log());
        }
    }
}

fn backend_ref(address: SocketAddr, server: &str) -> BackendRef {
    let upstream = UpstreamName::parse("backend").unwrap();
    BackendRef { upstream, address, server: ServerAddress::parse(server).unwrap() }
}

fn exec(words: &[&str]) -> Step {
    Step::Exec(words.iter().map(|word| (*word).to_owned()).collect())
}

fn sleeper(service: &str) -> Container {
    Container::run(service, &[], &debian(), &["sleep", "3600"])
}

/// Commands that Docker made in a container since the test began.
fn execs(container: &Container, since: Instant) -> usize {
    let at = |time: SystemTime| format!("{:.3}", time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64());
    let (now, filter) = (SystemTime::now(), format!("container={}", container.name));
    let (since, until) = (at(now - since.elapsed()), at(now));
    let events =
        say(&["events", "--since", &since, "--until", &until, "--filter", &filter, "--filter", "event=exec_create"]);
    events.lines().filter(|line| line.contains("exec_create")).count()
}

async fn perform(driver: &Sidecar, which: &BackendRef, index: usize, step: &Step) -> Result<(), ExecError> {
    let container = match driver.find(which).await {
        Ok(container) => container,
        Err(FindError::Refused(refusal)) => return Err(refusal.into()),
        Err(error) => panic!("{error}"),
    };
    let order = Order { backend: which, container: &container, index, step, limit: Duration::from_secs(15) };
    driver.perform(&order).await.map(drop)
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_frozen_gunicorn_is_healed_by_way_of_the_sidecar() {
    let container = start(STARTS[0].1);
    let sidecar = Process::start(
        &container.project,
        "  backend: { servers: backend:80, heal: { steps: [gunicorn], cooldown: 1s } }\n",
        "",
    );
    let before = container.inspect("{{.Id}} {{.State.StartedAt}}");
    let (target, mut tools) =
        ward_of(&container, vec![Step::Preset(Preset::GunicornReload), Step::Preset(Preset::GunicornKillWorkers)]);
    tools.driver = Arc::new(sidecar.driver());
    let healer = Healer::start(tools.clone());
    tokio::time::sleep(Duration::from_millis(10_500)).await; // the edge's grace
    for last_step in ["gunicorn reload", "gunicorn kill workers"] {
        freeze(&container);
        target.look().await;
        assert!(target.is_sick());
        let started = Instant::now();
        until("it is healed", || target.is_up() && tools.journal.entries()[0].result == LadderOutcome::Healed).await;
        let entry = tools.journal.entries().remove(0);
        println!("healed {:?} after it was sick: {}", started.elapsed(), serde_json::to_string(&entry).unwrap());
        assert_eq!(entry.steps.last().unwrap().step, last_step);
        assert_eq!(entry.container.as_str(), container.name.as_str());
        tokio::time::sleep(Duration::from_millis(1_500)).await; // the cooldown
    }
    assert_eq!(container.inspect("{{.Id}} {{.State.StartedAt}}"), before);
    assert!(
        sidecar
            .driver()
            .logs(&target.backend_ref(), &sidecar.driver().find(&target.backend_ref()).await.unwrap())
            .await
            .contains("orker")
    );
    drop(healer);
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn only_containers_of_the_upstreams_own_servers_are_touched() {
    let backend = sleeper("backend");
    let project = backend.project.clone();
    let database = Container::run_in(&project, "database", &[], &debian(), &["sleep", "3600"]);
    let stranger = sleeper("backend");
    let upstreams =
        "  backend: { servers: backend:80, heal: { exec: [touch, /healed] } }\n  database: { servers: database:80 }\n";
    let sidecar = Process::start(&project, upstreams, "");
    let (driver, step) = (sidecar.driver(), exec(&["touch", "/healed"]));
    let began = Instant::now();
    perform(&driver, &backend_ref(backend.address(80), "backend:80"), 0, &step).await.unwrap();
    assert_eq!(backend.shell("ls /healed"), "/healed");
    for (address, said) in [
        (database.address(80), "not one of its servers"),
        (stranger.address(80), "belongs to the Compose project"),
        (backend.address(22), "none of its servers has port 22"),
        ("10.255.255.1:80".parse().unwrap(), "has the address"),
    ] {
        let error = driver.find(&backend_ref(address, "backend:80")).await.unwrap_err();
        assert!(error.to_string().contains(said), "{address}: {error}");
    }
    // One whose upstream is found and then asked for with another address, or as another upstream.
    let upstream = UpstreamName::parse("database").unwrap();
    let unhealed = BackendRef { upstream, ..backend_ref(database.address(80), "database:80") };
    assert!(driver.find(&unhealed).await.unwrap_err().to_string().contains("has no `heal`"));
    let other = exec(&["rm", "-rf", "/"]);
    let container = driver.find(&backend_ref(backend.address(80), "backend:80")).await;
    assert!(matches!(container, Err(FindError::Refused(_))), "{container:?}: cooling down");
    let known = backend.found(&crate::bench::docker()).await;
    for address in [backend.address(80), database.address(80)] {
        let which = backend_ref(address, "backend:80");
        let order =
            Order { backend: &which, container: &known, index: 0, step: &other, limit: Duration::from_secs(15) };
        let error = driver.perform(&order).await.unwrap_err();
        assert!(matches!(error, ExecError::Refused(_)) && error.is_elsewhere(), "{error}");
    }
    let count = |container| execs(container, began);
    assert_eq!((count(&database), count(&stranger)), (0, 0), "nothing was run in them");
}

/// Sends lines until the other side closes; what came back.
fn talk(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends a request as often as it can for ten seconds, on one new connection after another.
fn flood(socket: &Path, line: &str) {
    let (start, mut sent, mut answered, mut done) = (Instant::now(), 0_u64, 0_u64, 0_u64);
    let is_on = || start.elapsed() < Duration::from_secs(10);
    while is_on() {
        let Ok(mut stream) = UnixStream::connect(socket) else { continue };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        while is_on() && stream.write_all(line.as_bytes()).is_ok() {
            sent += 1;
            let mut answer = String::new();
            if answers.read_line(&mut answer).unwrap_or(0) == 0 {
                break;
            }
            answered += 1;
            done += u64::from(answer.contains("\"done\""));
        }
    }
    println!("sent {sent} in {:?}: {answered} answered, {done} done", start.elapsed());
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_hostile_edge_gets_the_configured_heals_at_the_configured_rate() {
    let backend = sleeper("backend");
    let upstreams = "  backend: { servers: backend:80, heal: { steps: [{ exec: [touch, /healed] }], cooldown: 2s, budget: 3/10m } }\n";
    let sidecar = Process::start(&backend.project, upstreams, "");
    let (socket, began) = (sidecar.socket(), Instant::now());
    assert!(sidecar.driver().status().await.is_ok());
    let before = sidecar.memory_kib();

    let address = backend.address(80);
    let step = r#"{"v":1,"do":"step","upstream":"backend","backend":"ADDRESS","step":0,"sum":1}"#
        .replace("ADDRESS", &address.to_string());
    let lines: [(&str, Vec<u8>); 9] = [
        ("10 MB line", vec![b'x'; 10_000_000]),
        ("10 MB of lines", b"x\n".repeat(5_000_000)),
        ("unknown action", br#"{"v":1,"do":"exec","upstream":"backend","backend":"172.18.0.3:80"}"#.to_vec()),
        ("../x", br#"{"v":1,"do":"find","upstream":"../x","backend":"172.18.0.3:80"}"#.to_vec()),
        ("a container's name", br#"{"v":1,"do":"find","upstream":"backend","backend":"shop_database_1"}"#.to_vec()),
        ("a command", step.replace("\"sum\":1", "\"sum\":1,\"argv\":[\"id\"]").into_bytes()),
        ("JSON bomb", "[".repeat(255).into_bytes()),
        ("large JSON bomb", "{\"a\":".repeat(100_000).into_bytes()),
        ("not UTF-8", vec![0xff; 100]),
    ];
    for (what, mut line) in lines {
        line.push(b'\n');
        let answer = talk(&socket, &line);
        println!("{what}: {:?}", answer.chars().take(80).collect::<String>());
        assert!(answer.len() < 200 && !answer.contains("done"), "{what}: {answer}");
    }
    assert_eq!(execs(&backend, began), 0, "nothing was executed");

    // Now with what it may say, as fast as it can: many connections, each with the right step.
    let sum = {
        // The step's number is no secret: it is asked for here by a well edge.
        perform(&sidecar.driver(), &backend_ref(address, "backend:80"), 0, &exec(&["touch", "/healed"])).await.unwrap();
        "touch /healed".bytes().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    };
    let line = format!("{}\n", step.replace("\"sum\":1", &format!("\"sum\":{sum}")));
    flood(&socket, &line);
    let held: Vec<_> = (0..200).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
    std::thread::sleep(Duration::from_millis(500));
    let (run, memory) = (execs(&backend, began), sidecar.memory_kib());
    println!("{run} commands run, {} connections held; memory {before} KiB, at most {memory} KiB", held.len());
    drop(held);
    assert_eq!(run, 3, "the budget, the well edge's one included");
    assert!(memory < before + 8 * 1024, "{before} KiB, then {memory} KiB");
    std::thread::sleep(Duration::from_secs(2));
    let standing = sidecar.driver().status().await.unwrap();
    println!("{standing:?}; {} lines of log", sidecar.log().lines().count());
    assert_eq!((standing.steps, standing.running), (3, 0));
    assert!(sidecar.log().lines().count() < 100, "its log is bounded");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_killed_sidecar_remembers_what_it_did() {
    let backend = sleeper("backend");
    let upstreams = "  backend: { servers: backend:80, heal: { steps: [{ exec: [touch, /healed] }, { exec: [sleep, '4'] }], cooldown: 60s } }\n";
    let sidecar = Process::start(&backend.project, upstreams, "");
    let (which, began) = (backend_ref(backend.address(80), "backend:80"), Instant::now());
    perform(&sidecar.driver(), &which, 0, &exec(&["touch", "/healed"])).await.unwrap();
    let sidecar = sidecar.killed_and_started_again();
    let error = sidecar.driver().find(&which).await.unwrap_err();
    assert!(error.to_string().contains("cooling down; retry in"), "{error}");

    // The ladder goes on, and its second step is under way when the sidecar is killed.
    let known = backend.found(&crate::bench::docker()).await;
    let (driver, step) = (sidecar.driver(), exec(&["sleep", "4"]));
    let order = Order { backend: &which, container: &known, index: 1, step: &step, limit: Duration::from_secs(15) };
    let kill = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(sidecar.driver().status().await.unwrap().running, 1);
        sidecar.killed_and_started_again()
    };
    let (done, sidecar) = tokio::join!(driver.perform(&order), kill);
    let error = done.unwrap_err();
    assert!(matches!(&error, ExecError::Docker(DockerError::NoSidecar(_))) && error.is_elsewhere(), "{error}");
    let error = sidecar.driver().find(&which).await.unwrap_err();
    assert!(error.to_string().contains("a step is still running in this container"), "{error}");
    assert_eq!(execs(&backend, began), 2, "no step ran twice");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_step_goes_on_and_counts_when_its_edge_is_killed() {
    let backend = sleeper("backend");
    let upstreams = "  backend: { servers: backend:80, heal: { steps: [{ exec: [sh, -c, 'sleep 2; touch /healed'] }], cooldown: 60s } }\n";
    let sidecar = Process::start(&backend.project, upstreams, "");
    let which = backend_ref(backend.address(80), "backend:80");
    let step = exec(&["sh", "-c", "sleep 2; touch /healed"]);
    let driver = sidecar.driver();
    let killed = tokio::time::timeout(Duration::from_secs(1), perform(&driver, &which, 0, &step)).await;
    assert!(killed.is_err(), "the edge goes away while the step runs");
    let error = driver.find(&which).await.unwrap_err();
    assert!(error.to_string().contains("a step is still running in this container"), "{error}");
    eventually("the step comes to its end", || backend.shell("ls /healed") == "/healed");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = perform(&driver, &which, 0, &step).await.unwrap_err();
    assert!(error.to_string().contains("cooling down"), "the next edge does not heal again: {error}");
    assert_eq!(driver.status().await.unwrap().steps, 1);
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn another_user_is_closed_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    std::fs::create_dir(&path).unwrap();
    let file = folder.path().join("remora.yaml");
    let socket = path.join("heal.sock");
    let text = format!(
        "docker: {{ sidecar: {}, socket: /nonexistent }}\nroutes: {{ /: a }}\nupstreams: {{ a: {{ servers: a:80, heal: gunicorn }} }}\n",
        socket.display()
    );
    std::fs::write(&file, text).unwrap();
    for (place, mode) in [(folder.path(), "755"), (&path, "750")] {
        assert!(Command::new("chown").args(["65534:65534"]).arg(place).status().unwrap().success());
        assert!(Command::new("chmod").arg(mode).arg(place).status().unwrap().success());
    }
    let as_user = |user: &str, arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args([
            &format!("--reuid={user}"),
            &format!("--regid={user}"),
            "--clear-groups",
            env!("CARGO_BIN_EXE_remora"),
            "sidecar",
        ]);
        command.arg(&file).args(arguments).stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    };
    let mut child = as_user("65534", &["--state", path.to_str().unwrap()]).spawn().unwrap();
    eventually("it listens", || socket.exists());
    std::thread::sleep(Duration::from_millis(300));
    // Root passes by the socket's mode, and is refused by who he is.
    let answer = talk(&socket, b"{\"v\":1,\"do\":\"status\"}\n");
    let own = as_user("65534", &["--status"]).output().unwrap();
    let other = as_user("65533", &["--status"]).output().unwrap();
    // As `docker exec` comes: root, here with the capabilities of the sidecar's container in deploy/manager.
    let mut exec = Command::new("setpriv");
    exec.args(["--bounding-set=-all,+setuid,+setgid", "--inh-caps=-all", env!("CARGO_BIN_EXE_remora"), "sidecar"]);
    let by_exec = exec.arg(&file).arg("--status").output().unwrap();
    let ended = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    let status = child.wait().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(answer, "", "closed without a word");
    assert!(log.contains("the peer is user 0; only user 65534 is allowed"), "{log}");
    assert!(
        own.status.success() && String::from_utf8_lossy(&own.stdout).contains("upstreams with a heal: 1"),
        "{own:?}"
    );
    assert!(
        by_exec.status.success() && String::from_utf8_lossy(&by_exec.stdout).contains("upstreams with a heal: 1"),
        "{by_exec:?}"
    );
    assert_eq!(other.status.code(), Some(1));
    assert!(ended.success() && status.success() && !socket.exists(), "TERM ends it well, and its socket goes with it");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_dead_daemon_is_told_as_if_it_were_asked_directly() {
    let upstreams = "  backend: { servers: backend:80, heal: gunicorn }\n";
    let sidecar = Process::start("nobody", upstreams, ", socket: /nonexistent/docker.sock");
    let error = sidecar.driver().find(&backend_ref("172.18.0.3:80".parse().unwrap(), "backend:80")).await.unwrap_err();
    assert_eq!(error, FindError::Docker(DockerError::NoSocket("/nonexistent/docker.sock".into())));
    assert!(sidecar.driver().status().await.unwrap().docker.contains("no Docker socket"));
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn what_happens_to_servers_containers_is_told_and_nothing_else() {
    let backend = sleeper("backend");
    let database = Container::run_in(&backend.project, "database", &[], &debian(), &["sleep", "3600"]);
    let upstreams = "  backend: { servers: backend:80, heal: gunicorn }\n  database: { servers: database:80 }\n";
    let sidecar = Process::start(&backend.project, upstreams, "");
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    let driver = sidecar.driver();
    let watching = OwnedTask::spawn(async move { driver.watch(tell).await });
    let address = backend.address(80).ip();
    tokio::time::sleep(Duration::from_secs(1)).await;
    cli(&["pause", &database.name]);
    cli(&["unpause", &database.name]);
    cli(&["pause", &backend.name]);
    cli(&["unpause", &backend.name]);
    // Who runs already is told first.
    for what in [Happening::Starts, Happening::Freezes, Happening::Starts] {
        let seen = tokio::time::timeout(Duration::from_secs(10), told.recv()).await.unwrap().unwrap();
        assert_eq!((seen.container.as_str(), seen.addresses, seen.what), (backend.name.as_str(), vec![address], what));
    }
    drop(watching);
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn an_edited_file_counts_at_once_and_a_broken_one_does_not() {
    let backend = sleeper("backend");
    let upstreams = "  backend: { servers: backend:80, heal: { steps: [{ exec: [touch, /one] }], cooldown: 0 } }\n";
    let sidecar = Process::start(&backend.project, upstreams, "");
    let (which, file) = (backend_ref(backend.address(80), "backend:80"), sidecar.folder.path().join("remora.yaml"));
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("/one", "/two")).unwrap();
    eventually("it is read again", || sidecar.log().contains("upstream changed (backend)"));
    let error = perform(&sidecar.driver(), &which, 0, &exec(&["touch", "/one"])).await.unwrap_err();
    assert!(error.to_string().contains("edge and sidecar must read the same file"), "{error}");
    std::fs::write(&file, "docker: [").unwrap();
    eventually("it is refused", || sidecar.log().contains("is unchanged"));
    perform(&sidecar.driver(), &which, 0, &exec(&["touch", "/two"])).await.unwrap();
    assert_eq!(backend.shell("ls /one /two"), "/two");
}
