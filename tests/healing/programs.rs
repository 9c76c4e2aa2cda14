//! The programs that are made sick, as people run them.

use serde_json::{Value, json};

/// A program in three replicas, or a database behind three.
pub struct Program {
    pub name: &'static str,
    pub image: &'static str,
    /// For `sh -c`; the image's own command where there is none.
    pub command: Option<&'static str>,
    pub port: u16,
    pub heal: &'static str,
    /// What the arguments of its processes have in them; the leaves among them are the workers.
    pub worker: &'static str,
    /// The same of the process that is the app.
    pub head: &'static str,
    /// The service that falls ill.
    pub sick: &'static str,
    /// What is asked for under load.
    pub path: &'static str,
    /// Requests a second; fewer where three replicas on two cores would be kept busy by them.
    pub rate: u32,
    /// Measured beside a container restart too.
    pub beside: bool,
}

/// Ways to be sick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sickness {
    /// Every worker is stopped.
    Frozen,
    /// Every worker, thread or loop is taken by a request that never ends.
    Deadlocked,
    /// Every answer is 500.
    Failing,
    /// The app's process is killed.
    Killed,
}

pub const SICKNESSES: [Sickness; 4] = [Sickness::Frozen, Sickness::Deadlocked, Sickness::Failing, Sickness::Killed];

impl Sickness {
    pub fn name(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Deadlocked => "deadlocked",
            Self::Failing => "500",
            Self::Killed => "killed",
        }
    }
}

const GUNICORN: Program = Program {
    name: "",
    image: "remora-test/programs:latest",
    command: None,
    port: 8000,
    heal: "gunicorn",
    worker: "gunicorn",
    head: "gunicorn",
    sick: "backend",
    path: "/",
    rate: 300,
    beside: false,
};
const PM2: Program = Program {
    image: "remora-frontend:latest",
    port: 3000,
    heal: "pm2 reload app",
    worker: "node /app/server/main.js",
    head: "node /app/server/main.js",
    path: "/health",
    ..GUNICORN
};

pub const PROGRAMS: [Program; 10] = [
    Program {
        name: "gunicorn-pid1",
        command: Some("exec gunicorn -w 2 -b 0.0.0.0:8000 app:wsgi"),
        beside: true,
        ..GUNICORN
    },
    Program { name: "gunicorn-tini", command: Some("exec tini -- gunicorn -w 2 -b 0.0.0.0:8000 app:wsgi"), ..GUNICORN },
    Program { name: "gunicorn-shell", command: Some("gunicorn -w 2 -b 0.0.0.0:8000 app:wsgi; exit $?"), ..GUNICORN },
    Program {
        name: "gunicorn-python-m",
        command: Some("exec python -m gunicorn -w 2 -b 0.0.0.0:8000 app:wsgi"),
        ..GUNICORN
    },
    Program {
        name: "gunicorn-slim",
        image: "remora-test/slim:latest",
        command: Some("exec gunicorn -w 2 -b 0.0.0.0:8000 app:wsgi"),
        ..GUNICORN
    },
    Program { name: "pm2-cluster", beside: true, ..PM2 },
    Program { name: "pm2-fork", command: Some("exec pm2-runtime start server/main.js --name app"), ..PM2 },
    Program {
        name: "supervisor",
        command: Some(
            "printf '[program:web]\\ncommand=gunicorn -w 2 -b 0.0.0.0:8000 app:wsgi\\ndirectory=/srv\\n\
             stopwaitsecs=2\\nstopasgroup=true\\nkillasgroup=true\\n' >/etc/supervisor/conf.d/web.conf; \
             exec supervisord -n -c /etc/supervisor/supervisord.conf",
        ),
        heal: "supervisorctl restart web",
        ..GUNICORN
    },
    Program {
        name: "uvicorn",
        image: "remora-test/slim:latest",
        command: Some("exec uvicorn --workers 2 --log-level warning --host 0.0.0.0 --port 8000 app:asgi"),
        heal: "uvicorn",
        worker: "spawn_main",
        head: "uvicorn",
        ..GUNICORN
    },
    Program {
        name: "systemd-mariadb",
        image: "remora-backend:latest",
        heal: "systemctl restart mysql",
        worker: "mariadbd",
        head: "mariadbd",
        sick: "database",
        path: "/api/notes/",
        rate: 150,
        beside: true,
        ..GUNICORN
    },
];

/// Gunicorn with threads enough for long answers.
pub const THREADS: Program = Program {
    name: "gunicorn-threads",
    command: Some("exec gunicorn -w 2 -k gthread --threads 200 -b 0.0.0.0:8000 app:wsgi"),
    ..GUNICORN
};

impl Program {
    /// A database has no pages that hang or fail.
    pub fn can(&self, sickness: Sickness) -> bool {
        self.sick == "backend" || matches!(sickness, Sickness::Frozen | Sickness::Killed)
    }

    /// The services of a Compose file beside the edge, with Docker's own check where something else goes by it.
    pub fn services(&self, has_check: bool) -> Value {
        let health = |test: &[&str]| {
            if has_check {
                let test = [&["CMD"], test].concat();
                json!({ "test": test, "interval": "5s", "timeout": "2s", "retries": 3 })
            } else {
                json!({ "disable": true })
            }
        };
        let url = format!("http://127.0.0.1:{}{}", self.port, if self.has_database() { "/health" } else { self.path });
        let python = format!("import urllib.request as r; r.urlopen('{url}', timeout=2)");
        let node = format!("fetch('{url}').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))");
        let asked: &[&str] = if self.port == 3000 { &["node", "-e", &node] } else { &["python", "-c", &python] };
        let mut backend = json!({
            "image": self.image,
            "restart": "unless-stopped",
            "environment": { "SAMPLE_FAULTS": "1", "MYSQL_HOST": "database", "MYSQL_DATABASE": "x", "MYSQL_USER": "x",
                "MYSQL_PASSWORD": "x" },
            "dns_opt": ["timeout:1", "attempts:1"],
            "healthcheck": health(asked),
        });
        if let Some(command) = self.command {
            // Compose replaces `$` itself.
            backend["command"] = json!(["sh", "-c", command.replace('$', "$$")]);
        }
        if !self.has_database() {
            return json!({ "backend": backend });
        }
        let database = json!({
            "image": "remora-database:latest",
            "restart": "unless-stopped",
            "environment": { "MYSQL_DATABASE": "x", "MYSQL_USER": "x", "MYSQL_PASSWORD": "x" },
            "cap_add": ["SYS_ADMIN"],
            "security_opt": ["apparmor:unconfined"],
            "tmpfs": ["/run", "/run/lock", "/tmp"],
            "tty": true,
            "stop_grace_period": "60s",
            "healthcheck": health(&["mysqladmin", "--no-defaults", "--connect-timeout=2", "ping"]),
        });
        json!({ "backend": backend, "database": database })
    }

    pub fn has_database(&self) -> bool {
        self.sick == "database"
    }

    /// The edge's file.
    pub fn configuration(&self, heals: bool) -> String {
        // The sicknesses follow each other more quickly than the usual pause.
        let limits = "cooldown: 1s, budget: 100/10m";
        let heal = |line: &str| if heals { format!(", heal: {{ steps: [{line}], {limits} }}") } else { String::new() };
        let port = self.port;
        let upstreams = if self.has_database() {
            let check = "{ http: /health, every: 2s, timeout: 2s }"; // as in upstreams/backend
            let (gunicorn, database) = (heal("gunicorn"), heal(self.heal));
            format!(
                "  backend: {{ servers: backend:{port}, check: {check}, needs: [database]{gunicorn} }}\n  \
                 database: {{ servers: database:3306, check: mysql{database} }}\n"
            )
        } else {
            format!("  backend: {{ servers: backend:{port}, check: /health{} }}\n", heal(self.heal))
        };
        format!("log: {{ access: off }}\nroutes: {{ /: backend }}\nupstreams:\n{upstreams}")
    }
}
