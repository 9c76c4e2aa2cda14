//! The three lines that everybody types, run as they are written, and judged where they would do harm.

use std::process::Command;
use std::time::Duration;

use remora::config::model::{Preset, Step};
use remora::heal::Feasibility;

use crate::bench::{Box, docker, eventually, get, image, judged, programs, project};
use crate::edge::Edge;
use crate::gunicorn::freeze;

const LINES: [(&str, &str, &str); 3] = [
    ("backend", "pkill -HUP gunicorn", "gunicorn reload"),
    ("frontend", "pm2 reload app", "pm2 reload app"),
    ("database", "systemctl restart mysql", "systemctl restart mysql"),
];

fn start(project: &str) -> [Box; 3] {
    let gunicorn = ["sh", "-c", "exec gunicorn -w 2 -b 0.0.0.0:80 app:wsgi"];
    #[rustfmt::skip]
    let systemd = ["--cap-add", "SYS_ADMIN", "--security-opt", "apparmor:unconfined", "-t",
        "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp",
        "-e", "MYSQL_DATABASE=x", "-e", "MYSQL_USER=x", "-e", "MYSQL_PASSWORD=x"];
    [
        Box::run_in(project, "backend", &[], &programs(), &gunicorn),
        Box::run_in(project, "frontend", &[], &image(&["remora-frontend:latest"]), &[]),
        Box::run_in(project, "database", &systemd, &image(&["remora-database:latest"]), &[]),
    ]
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn the_lines_heal_as_they_are_typed() {
    let project = project();
    let containers = start(&project);
    let addresses = [containers[0].address(80), containers[1].address(3000), containers[2].address(3306)];
    let mut site = "routes: { /: backend }\nupstreams:\n".to_owned();
    for ((name, line, _), address) in LINES.iter().zip(addresses) {
        let check = match *name {
            "database" => "tcp: true",
            "frontend" => "http: /health",
            _ => "http: /",
        };
        let check = format!("{{ {check}, every: 500ms, timeout: 500ms }}");
        site += &format!("  {name}: {{ servers: \"{address}\", check: {check}, heal: {line} }}\n");
    }
    // Else everything is sick together, which is nobody's sickness.
    let well = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    site +=
        &format!("  well: {{ servers: \"{}\", check: {{ tcp: true, every: 500ms }} }}\n", well.local_addr().unwrap());
    std::thread::spawn(move || well.incoming().for_each(drop));
    let edge = Edge::start(&project, &site);
    eventually("all three are up", || LINES.iter().all(|(name, ..)| edge.state(name) == "up"));
    let doctor = Command::new(env!("CARGO_BIN_EXE_remora"))
        .arg("doctor")
        .arg(edge.file())
        .env("COMPOSE_PROJECT_NAME", &project)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.success() && said.contains("all checks passed"), "{said}");

    edge.grace();
    let before: Vec<String> = containers.iter().map(Box::identity).collect();
    freeze(&containers[0]);
    containers[1].shell(
        "for f in /proc/[0-9]*; do case $(tr '\\0' ' ' <$f/cmdline) in 'node /app/server/main.js'*) kill -STOP ${f#/proc/} ;; \
         esac; done",
    );
    containers[2].shell("systemctl kill -s KILL mariadb; systemctl stop mariadb");
    for (name, _, step) in LINES {
        let ladder = edge.ended(name);
        println!("{name}: {} in {} ms", ladder["result"], ladder["took_ms"]);
        assert_eq!((&ladder["result"], &ladder["steps"][0]["step"]), (&"healed".into(), &step.into()), "{ladder:#}");
    }
    eventually("all three are up again", || LINES.iter().all(|(name, ..)| edge.state(name) == "up"));
    assert_eq!(containers.iter().map(Box::identity).collect::<Vec<_>>(), before);
    assert_eq!(get(edge.front, "/", Duration::from_secs(2)).unwrap().0, 200);
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn the_doctor_says_where_they_would_do_harm_or_nothing() {
    use Feasibility::{Broken, Doubtful, Works};
    let exec = |line: &str| Step::Exec(line.split(' ').map(str::to_owned).collect());
    let gunicorn = "exec gunicorn -w 2 -b 0.0.0.0:80 app:wsgi";
    let uvicorn = "exec uvicorn --workers 2 --host 0.0.0.0 --port 80 app:asgi";
    #[rustfmt::skip]
    let rows = [
        (gunicorn, exec("pkill -HUP gunicorn"),                    Doubtful, "use `heal: gunicorn` to spare them"),
        (gunicorn, Step::Preset(Preset::GunicornReload),           Works,    "gunicorn is running"),
        (gunicorn, Step::Preset(Preset::UvicornReload),            Broken,   "uvicorn is not running"),
        (gunicorn, Step::Preset(Preset::Pm2Reload("app".into())),  Broken,   "the PM2 daemon is not running"),
        (gunicorn, exec("systemctl restart mysql"),                Broken,   "not in this image"),
        (uvicorn,  exec("pkill -HUP uvicorn"),                     Works,    "handles it"),
        (uvicorn,  Step::Preset(Preset::GunicornReload),           Broken,   "gunicorn is not running"),
        (uvicorn,  exec("pkill -HUP python"),                      Doubtful, "only workers of `uvicorn`"),
    ];
    for start in [gunicorn, uvicorn] {
        let (docker, container) = (docker(), Box::run("api", &[], &programs(), &["sh", "-c", start]));
        container.answers();
        for (_, step, verdict, note) in rows.iter().filter(|row| row.0 == start) {
            let said = judged(&docker, &container, step.clone()).await;
            println!("{start}: {}: {:?}: {}", said.about, said.verdict, said.note);
            assert!(said.verdict == *verdict && said.note.contains(note), "{start}: {said:?}");
        }
    }
}
