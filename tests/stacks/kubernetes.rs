//! deploy/kubernetes, against the schemas of Kubernetes, and run: a small kubelet starts each pod in Docker as its manifest
//! says, asks its probes, and tells its address to a DNS server, which the edge asks by a pod's own `resolv.conf`.

use std::cell::Cell;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use http::Method;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::calm;
use crate::compose::{PATIENCE, docker, eventually, root, text};
use crate::load::{Load, Outcome, get, once, question, send};

const NETWORK: &str = "remora-kubernetes";
const ZONE: &str = "default.svc.cluster.local";
const RATE: u32 = 100;
/// The version whose schemas are asked.
const VERSION: &str = "1.34";

fn manifests() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("deploy/kubernetes")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "yaml")).collect();
    files.sort();
    files
}

/// Installs what the tests need of Python, and returns its folder of programs.
fn python() -> PathBuf {
    let made = Command::new(root().join("scripts/venv.sh")).arg("tests/stacks/kubernetes/requirements.txt").output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    root().join("target/venv/bin")
}

/// What the schemas say of a file: unknown fields and wrong types too.
fn validated(file: &Path) -> Result<String, String> {
    let mut command = Command::new(python().join("kubernetes-validate"));
    let output = command.args(["--strict", "-k", VERSION]).arg(file).output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[test]
#[ignore = "needs Python's package index: make stacks"]
fn the_manifests_are_what_kubernetes_takes() {
    let files = manifests();
    assert_eq!(files.len(), 4, "{files:?}");
    let mut resources = 0;
    for file in &files {
        let said = validated(file).unwrap();
        let passed = said.matches(" passed for resource ").count();
        assert_eq!(passed, objects_of(file).len(), "{said}");
        resources += passed;
    }
    println!("kubernetes: {resources} resources are right for {VERSION}");
    // The schemas do refuse.
    let folder = tempfile::tempdir().unwrap();
    let right = fs::read_to_string(root().join("deploy/kubernetes/remora.yaml")).unwrap();
    for (was, wrong) in [
        ("replicas: 2", "replicas: two"),
        ("replicas: 2", "replica: 2"),
        ("periodSeconds: 1\n", "periodSecond: 1\n"),
        ("exec: { command: [remora, status] }", "exec: { command: remora status }"),
        ("maxUnavailable: 1", "maxUnavailable: [1]"),
    ] {
        assert!(right.contains(was), "{was}");
        let file = folder.path().join("wrong.yaml");
        fs::write(&file, right.replacen(was, wrong, 1)).unwrap();
        let said = validated(&file).expect_err(wrong);
        assert!(said.contains("remora"), "{said}");
    }
}

fn objects_of(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// All objects of the folder.
struct Objects(Vec<Value>);

impl Objects {
    fn get(&self, kind: &str, name: &str) -> &Value {
        let is = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        self.0.iter().find(is).unwrap_or_else(|| panic!("there is no {kind} `{name}`"))
    }

    /// The template of a Deployment's or StatefulSet's pods.
    fn pod(&self, name: &str) -> &Value {
        let kind = if name == "database" { "StatefulSet" } else { "Deployment" };
        &self.get(kind, name)["spec"]["template"]["spec"]
    }
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().map(|word| word.as_str().unwrap()).collect()).unwrap_or_default()
}

/// A pod: one container.
#[derive(Clone)]
struct Pod {
    app: String,
    container: String,
    ip: IpAddr,
    ready: bool,
}

/// What a kubelet, and the controllers above it, do with the manifests.
struct Cluster {
    objects: Objects,
    folder: tempfile::TempDir,
    pods: Vec<Pod>,
    started: Cell<usize>,
    dns: String,
}

impl Cluster {
    fn new() -> Self {
        let left = docker(&["ps", "-aq", "--filter", &format!("network={NETWORK}")]);
        for container in left.lines() {
            docker(&["rm", "-fv", container]);
        }
        if !docker(&["network", "ls", "-q", "--filter", &format!("name={NETWORK}")]).is_empty() {
            docker(&["network", "rm", NETWORK]);
        }
        docker(&["network", "create", NETWORK]);
        let folder = tempfile::tempdir().unwrap();
        // Pods run as users of their own, and read what is in here.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("dns")).unwrap();
        let objects = Objects(manifests().iter().flat_map(|file| objects_of(file)).collect());
        let mut cluster = Self { objects, folder, pods: Vec::new(), started: Cell::new(0), dns: String::new() };
        cluster.publish();
        cluster.start_dns();
        for map in ["remora", "database"] {
            let data = cluster.objects.get("ConfigMap", map)["data"].clone();
            cluster.set_config_map(map, &data);
        }
        cluster
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// The DNS server's module comes from the folder of the tests' Python packages; it needs nothing else.
    fn start_dns(&mut self) {
        let found =
            Command::new(python().join("python")).args(["-c", "import dnslib; print(dnslib.__path__[0])"]).output();
        let module = format!("{}:/packages/dnslib:ro", text(&found.unwrap().stdout).trim());
        let script = format!("{}:/dns.py:ro", root().join("tests/stacks/kubernetes/dns.py").display());
        let records = format!("{}:/records:ro", self.path("dns").display());
        let image = image_of("PYTHON_IMAGE", &["python:3.12-slim", "remora-base/python:bookworm"]);
        let mut run = vec!["run", "-d", "--init", "--network", NETWORK, "-e", "PYTHONPATH=/packages"];
        run.extend(["-v", &module, "-v", &script, "-v", &records, &image, "python3", "/dns.py", "/records/all"]);
        self.dns = docker(&run);
        let address = address_of(&self.dns);
        // As the kubelet writes it for a pod.
        let resolv = format!("search {ZONE} svc.cluster.local cluster.local\nnameserver {address}\noptions ndots:5\n");
        fs::write(self.path("resolv.conf"), resolv).unwrap();
    }

    /// The Services' names and the addresses of their ready pods, as one file that changes at once.
    fn publish(&self) {
        let services = self.objects.0.iter().filter(|object| object["spec"]["clusterIP"] == "None");
        let mut records = String::new();
        for service in services {
            let name = format!("{}.{ZONE}", service["metadata"]["name"].as_str().unwrap());
            records += &format!("{name}\n");
            let app = service["spec"]["selector"]["app.kubernetes.io/name"].as_str().unwrap();
            for pod in self.pods.iter().filter(|pod| pod.ready && pod.app == app) {
                records += &format!("{name} {}\n", pod.ip);
            }
        }
        fs::write(self.path("dns/new"), records).unwrap();
        fs::rename(self.path("dns/new"), self.path("dns/all")).unwrap();
    }

    /// As the kubelet does it: the files in a folder of their own, and one symbolic link to it that is swapped at once.
    fn set_config_map(&self, name: &str, data: &Value) {
        let volume = self.path(name);
        fs::create_dir_all(&volume).unwrap();
        self.started.set(self.started.get() + 1);
        let version = format!("..2026_01_01_00_00_00.{:09}", self.started.get());
        fs::create_dir(volume.join(&version)).unwrap();
        for (file, content) in data.as_object().unwrap() {
            fs::write(volume.join(&version).join(file), content.as_str().unwrap()).unwrap();
        }
        let old = fs::read_link(volume.join("..data")).ok();
        std::os::unix::fs::symlink(&version, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        for file in data.as_object().unwrap().keys() {
            if !volume.join(file).is_symlink() {
                std::os::unix::fs::symlink(format!("..data/{file}"), volume.join(file)).unwrap();
            }
        }
        if let Some(old) = old {
            fs::remove_dir_all(volume.join(old)).unwrap();
        }
    }

    /// Starts a pod and waits until its readiness probe passes; its address is published then.
    async fn start(&mut self, app: &str) -> Pod {
        let mut pod = self.run(app);
        let container = &self.objects.pod(app)["containers"][0];
        let probe = if container["startupProbe"].is_null() { "readinessProbe" } else { "startupProbe" };
        eventually(&format!("{app} is ready"), || async { self.passes(&pod, probe).await }).await;
        pod.ready = true;
        self.pods.push(pod.clone());
        self.publish();
        pod
    }

    fn run(&self, app: &str) -> Pod {
        let spec = self.objects.pod(app);
        let container = &spec["containers"][0];
        self.started.set(self.started.get() + 1);
        let name = format!("{app}-{}", self.started.get());
        let security = [&spec["securityContext"], &container["securityContext"]];
        let number = |key: &str| security.iter().find_map(|level| level[key].as_u64());
        assert_eq!(security[0]["runAsNonRoot"], true, "{app}");
        let user = number("runAsUser").unwrap();
        let group = number("runAsGroup").map(|group| format!(":{group}")).unwrap_or_default();
        let mut run: Vec<String> = ["run", "-d", "--network", NETWORK, "--hostname", &name].map(str::to_owned).into();
        run.extend(["--user".into(), format!("{user}{group}")]);
        run.extend(["-v".into(), format!("{}:/etc/resolv.conf:ro", self.path("resolv.conf").display())]);
        if security[1]["readOnlyRootFilesystem"] == true {
            run.push("--read-only".into());
        }
        if security[1]["allowPrivilegeEscalation"] == false {
            run.extend(["--security-opt".into(), "no-new-privileges".into()]);
        }
        for capability in words(&security[1]["capabilities"]["drop"]) {
            run.extend(["--cap-drop".into(), capability.into()]);
        }
        if let Some(fs_group) = number("fsGroup") {
            run.extend(["--group-add".into(), fs_group.to_string()]);
        }
        for (name, value) in self.environment(container) {
            run.extend(["-e".into(), format!("{name}={value}")]);
        }
        for mount in container["volumeMounts"].as_array().unwrap() {
            run.extend(self.volume(spec, mount, user));
        }
        let command = words(&container["command"]);
        if let Some(first) = command.first() {
            run.extend(["--entrypoint".into(), (*first).to_owned()]);
        }
        run.push(container["image"].as_str().unwrap().to_owned());
        run.extend(command.iter().skip(1).map(|word| (*word).to_owned()));
        let container = docker(&run.iter().map(String::as_str).collect::<Vec<_>>());
        let ip = address_of(&container);
        Pod { app: app.to_owned(), container, ip, ready: false }
    }

    fn environment(&self, container: &Value) -> Vec<(String, String)> {
        let pair =
            |name: &Value, value: &Value| (name.as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned());
        let none = Vec::new();
        let mut all: Vec<_> =
            container["env"].as_array().unwrap_or(&none).iter().map(|v| pair(&v["name"], &v["value"])).collect();
        for from in container["envFrom"].as_array().unwrap_or(&none) {
            let secret = self.objects.get("Secret", from["secretRef"]["name"].as_str().unwrap());
            let data = secret["stringData"].as_object().unwrap();
            all.extend(data.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())));
        }
        all
    }

    /// Docker's arguments for a mount: a ConfigMap, memory, or a claimed volume.
    fn volume(&self, spec: &Value, mount: &Value, user: u64) -> [String; 2] {
        let place = mount["mountPath"].as_str().unwrap();
        let is = |volume: &&Value| volume["name"] == mount["name"];
        let Some(volume) = spec["volumes"].as_array().unwrap().iter().find(is) else {
            return ["-v".into(), place.to_owned()]; // a volume claim: one of Docker's
        };
        if let Some(map) = volume["configMap"]["name"].as_str() {
            return ["-v".into(), format!("{}:{place}:ro", self.path(map).display())];
        }
        assert!(volume["emptyDir"].is_object(), "{volume}");
        // Everybody may write to an `emptyDir`; Docker keeps the rights of the image's folder, but its owner may be chosen.
        ["--tmpfs".into(), format!("{place}:uid={user}")]
    }

    async fn passes(&self, pod: &Pod, probe: &str) -> bool {
        let container = &self.objects.pod(&pod.app)["containers"][0];
        let probe = &container[probe];
        if let Some(path) = probe["httpGet"]["path"].as_str() {
            let is = |port: &&Value| port["name"] == probe["httpGet"]["port"];
            let port =
                container["ports"].as_array().unwrap().iter().find(is).unwrap()["containerPort"].as_u64().unwrap();
            let to = SocketAddr::new(pod.ip, u16::try_from(port).unwrap());
            return get(to, path).await.is_ok_and(|answer| (200..400).contains(&answer.status));
        }
        exec(pod, &words(&probe["exec"]["command"])).is_ok()
    }

    /// Ends a pod as the manifest says: out of the DNS, `preStop`, TERM, and KILL at the end of its time. The task says its
    /// exit code.
    fn end(&mut self, pod: Pod) -> JoinHandle<String> {
        self.pods.retain(|other| other.container != pod.container);
        self.publish();
        let spec = self.objects.pod(&pod.app);
        let grace = Duration::from_secs(spec["terminationGracePeriodSeconds"].as_u64().unwrap());
        let before = words(&spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]);
        let before: Vec<_> = before.into_iter().map(str::to_owned).collect();
        tokio::task::spawn_blocking(move || {
            let start = Instant::now();
            let hook = exec(&pod, &before.iter().map(String::as_str).collect::<Vec<_>>());
            // One that shuts its container down ends with it.
            let running = docker(&["inspect", "--format", "{{.State.Running}}", &pod.container]);
            assert!(hook.is_ok() || running == "false", "{}: {hook:?}", pod.app);
            let left = grace.saturating_sub(start.elapsed()).as_secs().max(1);
            docker(&["stop", "-t", &left.to_string(), &pod.container]);
            let code = docker(&["inspect", "--format", "{{.State.ExitCode}}", &pod.container]);
            docker(&["rm", "-v", &pod.container]);
            code
        })
    }

    fn pods(&self, app: &str) -> Vec<Pod> {
        self.pods.iter().filter(|pod| pod.app == app).cloned().collect()
    }

    fn edge(&self) -> Pod {
        self.pods("remora").remove(0)
    }

    fn front(&self) -> SocketAddr {
        SocketAddr::new(self.edge().ip, 8080)
    }

    fn status(&self) -> Value {
        serde_json::from_str(&exec(&self.edge(), &["remora", "status", "--json"]).unwrap()).unwrap()
    }

    /// The addresses of an upstream that are up, and no others are there but those that are leaving.
    fn knows(&self, upstream: &str) -> Vec<IpAddr> {
        let status = self.status();
        let found =
            status["upstreams"].as_array().unwrap().iter().find(|entry| entry["name"] == upstream).unwrap().clone();
        let backends = found["backends"].as_array().unwrap().iter().filter(|backend| backend["state"] != "draining");
        let mut known: Vec<_> = backends
            .map(|backend| {
                let address: SocketAddr = backend["address"].as_str().unwrap().parse().unwrap();
                let up = backend["state"] == "up";
                if up { address.ip() } else { IpAddr::from([0, 0, 0, 0]) }
            })
            .collect();
        known.sort();
        known
    }

    /// Waits until the edge has exactly the ready pods of an app, all up.
    async fn followed(&self, app: &str) -> Duration {
        let mut ready: Vec<_> = self.pods(app).iter().map(|pod| pod.ip).collect();
        ready.sort();
        eventually("the edge follows the DNS", || async { self.knows(app) == ready }).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let run = |arguments: &[&str]| Command::new("docker").args(arguments).output().unwrap();
        if std::thread::panicking() {
            let all = run(&["ps", "-aq", "--filter", &format!("network={NETWORK}")]);
            for container in text(&all.stdout).lines().filter(|container| !self.dns.starts_with(container)) {
                println!("--- {container}\n{}", text(&run(&["logs", "--tail", "40", container]).stderr));
            }
        }
        if std::env::var_os("KEEP_STACK").is_some() {
            return;
        }
        let all = text(&run(&["ps", "-aq", "--filter", &format!("network={NETWORK}")]).stdout);
        for container in all.lines() {
            run(&["rm", "-fv", container]);
        }
        run(&["network", "rm", NETWORK]);
    }
}

/// Three of the page's files for one list of notes, as a browser asks.
fn load(to: SocketAddr, part: u32) -> Load {
    let paths = ["/", "/", "/", "/api/notes/"];
    Load::of(RATE / part, move |count| question(Method::GET, to, paths[count % paths.len()], ""))
}

fn address_of(container: &str) -> IpAddr {
    let format = format!("{{{{(index .NetworkSettings.Networks \"{NETWORK}\").IPAddress}}}}");
    docker(&["inspect", "--format", &format, container]).parse().unwrap()
}

/// The image a variable names, else the first that is here.
fn image_of(variable: &str, candidates: &[&str]) -> String {
    let here =
        |image: &&&str| Command::new("docker").args(["image", "inspect", image]).output().unwrap().status.success();
    std::env::var(variable).unwrap_or_else(|_| (*candidates.iter().find(here).unwrap()).to_owned())
}

fn exec(pod: &Pod, command: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(["exec", &pod.container]).args(command).output().unwrap();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Does something under load, of which nothing may fail; the edge stays the same.
async fn costs_nothing(cluster: &mut Cluster, what: &str, mut doing: impl AsyncFnMut(&mut Cluster)) -> Outcome {
    let (edge, to) = (cluster.edge().container, cluster.front());
    let log = || text(&Command::new("docker").args(["logs", &edge]).output().unwrap().stderr);
    calm::costs(0, &format!("kubernetes: {what}"), log, |part| load(to, part), async || doing(&mut *cluster).await)
        .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the images: make stacks"]
async fn the_pods_behind_a_cluster_s_dns() {
    let script = fs::read_to_string(root().join("deploy/swarm/database.sh")).unwrap();
    let mut cluster = Cluster::new();
    assert_eq!(cluster.objects.get("ConfigMap", "database")["data"]["database.sh"], script, "the same file twice");
    let start = Instant::now();
    for app in ["database", "backend", "backend", "frontend", "frontend", "remora"] {
        cluster.start(app).await;
    }
    cluster.followed("backend").await;
    cluster.followed("frontend").await;
    println!("kubernetes: every pod ready after {:.1} s, one after another", start.elapsed().as_secs_f64());
    for pod in cluster.pods.clone() {
        assert!(cluster.passes(&pod, "livenessProbe").await, "{}", pod.app);
    }
    assert!(get(cluster.front(), "/").await.unwrap().body.contains("<div id=\"root\">"), "the page is there");
    send(Method::POST, cluster.front(), "/api/notes/", r#"{"title":"kept"}"#).await.unwrap().well();
    names_come_from_the_cluster_s_dns(&cluster);
    scaling_and_rolling_cost_nothing(&mut cluster).await;
    a_pod_that_dies_is_left_at_once(&mut cluster).await;
    a_config_map_costs_nothing(&mut cluster).await;
    no_pod_at_all_is_503_and_ends(&mut cluster).await;
    let edge = cluster.edge();
    assert_eq!(cluster.end(edge).await.unwrap(), "0", "the edge ends well, and within its time");
    let database = cluster.pods("database").remove(0);
    assert_eq!(cluster.end(database).await.unwrap(), "0", "the database shuts down in order");
}

fn names_come_from_the_cluster_s_dns(cluster: &Cluster) {
    let asked = docker(&["logs", &cluster.dns]);
    for app in ["backend", "frontend"] {
        assert!(
            asked.contains(&format!("A {app}.{ZONE} NOERROR 2")),
            "{app} is asked for under its whole name: {asked}"
        );
    }
}

async fn scaling_and_rolling_cost_nothing(cluster: &mut Cluster) {
    for app in ["frontend", "backend"] {
        let scaled = async |cluster: &mut Cluster| {
            let pod = cluster.start(app).await;
            let joined = cluster.followed(app).await;
            let ending = [pod, cluster.pods(app).remove(0)].map(|pod| cluster.end(pod));
            cluster.followed(app).await;
            for pod in ending {
                pod.await.unwrap();
            }
            cluster.start(app).await;
            cluster.followed(app).await;
            println!("kubernetes: a new {app} is used {:.1} s after it is in the DNS", joined.as_secs_f64());
        };
        costs_nothing(cluster, &format!("{app} scaled 2→3→1→2"), scaled).await;
        let before = cluster.pods(app);
        let rolled = async |cluster: &mut Cluster| {
            let mut ending = Vec::new();
            for old in cluster.pods(app) {
                cluster.start(app).await;
                ending.push(cluster.end(old));
            }
            for pod in ending {
                pod.await.unwrap();
            }
            cluster.followed(app).await;
        };
        costs_nothing(cluster, &format!("{app} rolled"), rolled).await;
        let after = cluster.pods(app);
        assert!(after.iter().all(|pod| before.iter().all(|old| old.container != pod.container)), "every pod is new");
    }
}

/// Nobody told it to go, so it is in the DNS until its probe fails.
async fn a_pod_that_dies_is_left_at_once(cluster: &mut Cluster) {
    let load = load(cluster.front(), 1);
    let dead = cluster.pods("backend").remove(0);
    docker(&["kill", &dead.container]);
    eventually("its probe fails", || async { !cluster.passes(&dead, "readinessProbe").await }).await;
    docker(&["rm", "-v", &dead.container]);
    cluster.pods.retain(|pod| pod.container != dead.container);
    cluster.publish();
    cluster.start("backend").await;
    cluster.followed("backend").await;
    let outcome = load.end().await;
    println!("kubernetes: a backend killed: {outcome}");
    assert!(outcome.failed() <= 2, "{outcome}: only what was in flight there may fail");
}

async fn a_config_map_costs_nothing(cluster: &mut Cluster) {
    let good = cluster.objects.get("ConfigMap", "remora")["data"].clone();
    let with = |from: &str, to: &str| {
        let file = good["remora.yaml"].as_str().unwrap();
        assert!(file.contains(from));
        serde_json::json!({ "remora.yaml": file.replace(from, to) })
    };
    let edits = [
        (with("  /api: backend\n", "  /api: backend\n  /notes: { to: backend, strip: true }\n"), true),
        (good.clone(), false),
    ];
    let edited = async |cluster: &mut Cluster| {
        for (data, routed) in &edits {
            cluster.set_config_map("remora", data);
            let to = cluster.front();
            eventually("the change is in force", || async {
                get(to, "/notes/api/health").await.is_ok_and(|answer| answer.body.contains("database_ms") == *routed)
            })
            .await;
        }
    };
    costs_nothing(cluster, "two changes of the ConfigMap", edited).await;
    let broken = with("routes:", "routess:");
    let generation = cluster.status()["process"]["generation"].clone();
    costs_nothing(cluster, "a mistake in the ConfigMap", async |cluster: &mut Cluster| {
        cluster.set_config_map("remora", &broken);
        let edge = cluster.edge().container;
        eventually("the log explains it", || async {
            let log = Command::new("docker").args(["logs", &edge]).output().unwrap();
            text(&log.stderr).contains("routess")
        })
        .await;
    })
    .await;
    assert_eq!(cluster.status()["process"]["generation"], generation, "a mistake changes nothing");
    cluster.set_config_map("remora", &good);
}

async fn no_pod_at_all_is_503_and_ends(cluster: &mut Cluster) {
    let ending: Vec<_> = cluster.pods("backend").into_iter().map(|pod| cluster.end(pod)).collect();
    for pod in ending {
        pod.await.unwrap();
    }
    let page = get(cluster.front(), "/").await.unwrap();
    assert_eq!(page.status, 200, "the page does not need the API");
    let to = cluster.front();
    let told = once(Method::GET, to, "/api/notes/", PATIENCE).await.unwrap();
    println!("kubernetes: without a pod the API is answered {}", told.status);
    assert_eq!(told.status, 503);
    cluster.start("backend").await;
    let returned = cluster.followed("backend").await;
    println!("kubernetes: and well again {:.1} s after a pod is back in the DNS", returned.as_secs_f64());
    let notes = get(to, "/api/notes/").await.unwrap().well();
    assert!(notes.body.contains("kept"), "{}", notes.body);
}
