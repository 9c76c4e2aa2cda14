//! Random faults at random times on the whole manager stack under load: `FAULT_SECONDS` (3600) of them, by `SEED`.
//!
//! Faults come far more often than the default budget of heals allows for, so here it is larger: the healer has work for the
//! whole hour. At the end everything must be up, no container may have been healed more often than it was struck, nothing may
//! be healed in the calm after, and nothing may be left behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use http::Method;

use crate::cases::force;
use crate::edge;
use crate::host::{self, address, docker};
use crate::load::{self, Load};
use crate::programs::{PROGRAMS, Program, Sickness};
use crate::report::Report;
use crate::stack::{Stack, within};

const COUNTS: [(&str, usize); 3] = [("database", 1), ("backend", 3), ("frontend", 2)];
/// Heal lines of the sample services, with the budget of this run.
const HEALS: [(&str, &str); 3] = [
    ("heal: gunicorn", "heal: { steps: gunicorn, budget: 60/10m }"),
    ("heal: pm2 reload app", "heal: { steps: pm2 reload app, budget: 60/10m }"),
    ("heal: systemctl restart mysql", "heal: { steps: systemctl restart mysql, budget: 60/10m }"),
];
/// How long everything has to be up before it counts.
const SETTLED: Duration = Duration::from_secs(20);
/// How long nothing may happen after that.
const CALM: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
enum Fault {
    Sick(Sickness),
    Pause,
    Stop,
    Restart,
    Disconnect,
}

const FAULTS: [Fault; 8] = [
    Fault::Sick(Sickness::Frozen),
    Fault::Sick(Sickness::Deadlocked),
    Fault::Sick(Sickness::Failing),
    Fault::Sick(Sickness::Killed),
    Fault::Pause,
    Fault::Stop,
    Fault::Restart,
    Fault::Disconnect,
];

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How a service of the manager stack is made sick.
fn program(service: &str) -> Program {
    let of = |name: &str| PROGRAMS.into_iter().find(|one| one.name == name).unwrap();
    match service {
        "frontend" => of("pm2-cluster"),
        "database" => of("systemd-mariadb"),
        _ => Program { path: "/health", ..of("gunicorn-pid1") },
    }
}

pub async fn run(report: &mut Report) {
    let (length, seed) = (Duration::from_secs(number("FAULT_SECONDS", 3600)), number("SEED", 1));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut services = program("database").services(false);
    services["frontend"] = program("frontend").services(false)["backend"].clone();
    let configuration = std::fs::read_to_string(root.join("conf/remora.yaml")).unwrap();
    let configuration = format!("{configuration}\nlog: {{ access: off }}\n");
    let fragments = fragments(root);
    let stack = Stack::start(services, &configuration, Some(fragments.path()), &COUNTS).await;
    for (service, count) in COUNTS {
        stack.all_up(service, count, Duration::from_secs(120)).await;
    }
    stack.grace().await;

    let clock = Utc::now();
    let weight = host::weight(&stack.edge);
    let loads = [Load::start(stack.front(), "/api/notes/", 100), Load::start(stack.front(), "/", 100)];
    let mut random = fastrand::Rng::with_seed(seed);
    let (start, mut done) = (Instant::now(), BTreeMap::<String, usize>::new());
    let mut struck = BTreeMap::<String, usize>::new();
    while start.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(random.u64(500..12_000))).await;
        let (service, count) = COUNTS[random.usize(..COUNTS.len())];
        let (replica, fault) = (random.usize(..count), FAULTS[random.usize(..FAULTS.len())]);
        let seconds = random.u64(1..15);
        println!("{:6.1} s: {service} {replica}: {fault:?} ({seconds} s)", start.elapsed().as_secs_f64());
        if let Some(name) = strike(&stack, service, replica, fault, seconds).await {
            *done.entry(format!("{fault:?}")).or_default() += 1;
            *struck.entry(name).or_default() += 1;
        }
    }
    for (load, path) in loads.into_iter().zip(["/api/notes/", "/"]) {
        let outcome = load.end().await;
        report.line(
            "faults",
            &format!(
                "{path}: {} sent, {} failed, {} slower than 1 s; {}",
                outcome.sent(),
                outcome.failed(),
                outcome.slower_than(Duration::from_secs(1)),
                outcome.failures()
            ),
        );
    }
    report.line("faults", &format!("seed {seed}, {} s: {done:?}", length.as_secs()));
    settle(&stack, clock, weight, &struck, report).await;
}

/// A copy of the services' fragments with the budget of this run.
fn fragments(root: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (service, (line, instead)) in ["backend", "frontend", "database"].into_iter().zip(HEALS) {
        let text = std::fs::read_to_string(root.join(format!("upstreams/{service}/upstream.yaml"))).unwrap();
        assert!(text.contains(line), "{service} has no `{line}`");
        std::fs::create_dir(folder.path().join(service)).unwrap();
        std::fs::write(folder.path().join(service).join("upstream.yaml"), text.replace(line, instead)).unwrap();
    }
    folder
}

/// Does it, and undoes what no healer may undo. The container's name; none where it was away already.
async fn strike(stack: &Stack, service: &str, replica: usize, fault: Fault, seconds: u64) -> Option<String> {
    let container = stack.containers(service).get(replica).cloned()?;
    let program = program(service);
    let port = if service == "database" { 3306 } else { program.port };
    let running = docker(&["inspect", "-f", "{{.State.Running}} {{.State.Paused}} {{.State.Restarting}}", &container]);
    let to = address(&container, port).filter(|_| running == "true false false")?;
    let name = docker(&["inspect", "-f", "{{.Name}}", &container]).trim_start_matches('/').to_owned();
    let pause = tokio::time::sleep(Duration::from_secs(seconds));
    match fault {
        Fault::Sick(Sickness::Failing | Sickness::Deadlocked) if service == "database" => return None,
        Fault::Sick(Sickness::Failing) => {
            let path = "/_fault/sick?seconds=20";
            return load::once(Method::POST, to, path, Duration::from_secs(1)).await.ok().map(|_| name);
        }
        Fault::Sick(Sickness::Deadlocked) if !Stack::is_well(to, "/health").await => return None,
        Fault::Sick(sickness) => {
            if host::leaves(&container, program.worker).is_empty() {
                return None;
            }
            force(&program, &container, to, sickness).await;
        }
        Fault::Pause => {
            docker(&["pause", &container]);
            pause.await;
            docker(&["unpause", &container]);
        }
        Fault::Stop => {
            docker(&["stop", "-t", "5", &container]);
            pause.await;
            docker(&["start", &container]);
        }
        Fault::Restart => _ = docker(&["restart", "-t", "5", &container]),
        Fault::Disconnect => {
            let network = docker(&[
                "inspect",
                "-f",
                "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}",
                &container,
            ]);
            docker(&["network", "disconnect", &network, &container]);
            pause.await;
            docker(&["network", "connect", "--alias", service, &network, &container]);
        }
    }
    Some(name)
}

/// Waits for calm and looks what is left.
async fn settle(
    stack: &Stack,
    clock: DateTime<Utc>,
    before: (usize, usize),
    struck: &BTreeMap<String, usize>,
    report: &mut Report,
) {
    // A ladder waits out its cooldown, which grows up to ten minutes with every one in vain.
    let limit = Duration::from_secs(720);
    // Without load a sickness is found by the check alone, some seconds later.
    let since = std::cell::Cell::new(Instant::now());
    let is_settled = || async {
        if !COUNTS.iter().all(|(service, count)| stack.is_up(service, *count)) {
            since.set(Instant::now());
        }
        SETTLED <= since.get().elapsed()
    };
    match within(limit, is_settled).await.map(|took| took.saturating_sub(SETTLED)) {
        Some(took) => report.line("faults", &format!("everything up {:.1} s after the last fault", took.as_secs_f64())),
        None => {
            report.problem("faults", &format!("{:?}", COUNTS.map(|(service, _)| edge::states(&stack.edge, service))));
        }
    }
    let log = edge::log(&stack.edge, clock);
    let mut ladders: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
    for line in log.iter().filter(|line| line.text.contains(": starts")) {
        let who = line.text.split_once("heal backend ").and_then(|(_, rest)| rest.split_once(')'));
        ladders.entry(who.map_or_else(String::new, |(who, _)| format!("{who})"))).or_default().push(line.at);
    }
    for (who, times) in &ladders {
        let faults = struck.iter().find(|(name, _)| who.contains(name.as_str())).map_or(0, |(_, count)| *count);
        report.line("faults", &format!("{who}: {} ladders, {faults} faults", times.len()));
        if faults < times.len() {
            report.problem("faults", &format!("{who}: more ladders than faults"));
        }
    }
    let begun: usize = ladders.values().map(Vec::len).sum();
    tokio::time::sleep(CALM).await;
    let later = edge::log(&stack.edge, clock).iter().filter(|line| line.text.contains(": starts")).count();
    report.line("faults", &format!("{} ladders in the {} s after", later - begun, CALM.as_secs()));
    if begun < later {
        report.problem("faults", "healed without a fault");
    }
    let tally = |word: &str| log.iter().filter(|line| line.text.contains(word)).count();
    let ends =
        [": healed in", "all steps tried", "postponed, will retry", "recovered before any step", ": budget used ("];
    let ends: Vec<String> = ends.iter().map(|word| format!("{} x \"{word}\"", tally(word))).collect();
    report.line("faults", &format!("{begun} ladders on {} containers: {}", ladders.len(), ends.join(", ")));
    for (service, _) in COUNTS {
        for container in stack.containers(service) {
            // Docker's own checks are execs too, and come and go.
            let is_clean = || async { docker(&["inspect", "-f", "{{len .ExecIDs}}", &container]) == "0" };
            if within(Duration::from_secs(40), is_clean).await.is_none() {
                report.problem("faults", &format!("{service} {container}: execs are left"));
            }
        }
    }
    let is_calm = || async {
        let now = host::weight(&stack.edge);
        now.0 <= before.0 + 20 && now.1 <= before.1 + 4
    };
    let calm = within(Duration::from_secs(90), is_calm).await;
    let after = host::weight(&stack.edge);
    report.line(
        "faults",
        &format!("open files {} before, {} after; threads {} and {}", before.0, after.0, before.1, after.1),
    );
    if calm.is_none() {
        report.problem("faults", &format!("files and threads: {before:?} before, {after:?} after"));
    }
}
