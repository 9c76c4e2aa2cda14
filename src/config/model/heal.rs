//! How a sick backend is repaired inside its container.

use std::fmt;
use std::time::Duration;

/// A ladder of steps and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealSpec {
    /// Never empty, at most 20, tried in order until the check passes again.
    pub steps: Vec<Step>,
    /// How long requests in flight may take to finish before a step. At most 10 min, default 5 s.
    pub drain: Duration,
    /// How long the check may take to pass after a step. 100 ms to 10 min, default 10 s.
    pub verify: Duration,
    /// Pause after a ladder before the next one on the same backend. At most 24 h, default 30 s.
    pub cooldown: Duration,
    /// Ladders allowed on one backend in a window. Default `3/10m`.
    pub budget: Budget,
    /// A backend that still serves is not healed when fewer than this many others are up. At most 1000,
    /// default 1.
    pub min_up: u32,
    /// Deadline of one command inside the container. 1 s to 10 min, default 15 s.
    pub timeout: Duration,
}

/// `3/10m`: so many in such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// 1 to 100.
    pub count: u32,
    /// 1 s to 24 h.
    pub window: Duration,
}

/// One rung of the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A signal to PID 1 of the container, sent by exec; by the API only where that keeps the restart policy armed.
    Signal(Signal),
    /// A command as an argument list; never passed to a shell. Never empty.
    Exec(Vec<String>),
    /// What is known to work for a program.
    Preset(Preset),
    /// Restart the whole container. Only where the user lists it.
    Restart,
}

/// What is known to work for a program; see `heal::preset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preset {
    /// HUP to Gunicorn's master alone: new workers, then the old ones end.
    GunicornReload,
    /// KILL to Gunicorn's workers alone; the master starts new ones. For workers that are hung.
    GunicornKillWorkers,
    /// HUP to the parent of `uvicorn --workers` alone: new workers, one after another; old ones that hang are killed.
    UvicornReload,
    /// KILL to uvicorn's workers alone; the parent starts new ones.
    UvicornKillWorkers,
    /// `pm2 reload APP`.
    Pm2Reload(String),
    /// `pm2 restart APP`.
    Pm2Restart(String),
    /// `systemctl restart UNIT`.
    Systemd(String),
    /// `supervisorctl restart PROGRAM`.
    Supervisor(String),
}

/// A signal by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are POSIX's")]
pub enum Signal {
    Hup,
    Int,
    Quit,
    Term,
    Kill,
    Usr1,
    Usr2,
    Winch,
}

impl Signal {
    /// Every signal that may be configured.
    pub const ALL: [Self; 8] =
        [Self::Hup, Self::Int, Self::Quit, Self::Term, Self::Kill, Self::Usr1, Self::Usr2, Self::Winch];

    /// By name, with or without `SIG` and in any case, or by Linux's number.
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        Self::ALL.into_iter().find(|signal| signal.name() == name || signal.number().to_string() == name)
    }

    /// Linux's number.
    pub fn number(self) -> u32 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Quit => 3,
            Self::Kill => 9,
            Self::Usr1 => 10,
            Self::Usr2 => 12,
            Self::Term => 15,
            Self::Winch => 28,
        }
    }

    /// The name without `SIG`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Winch => "WINCH",
        }
    }
}

impl fmt::Display for Step {
    /// As an operator would write or type it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => write!(f, "signal {}", signal.name()),
            Self::Exec(argv) => f.write_str(&argv.join(" ")),
            Self::Preset(preset) => write!(f, "{preset}"),
            Self::Restart => f.write_str("restart container"),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GunicornReload => f.write_str("gunicorn reload"),
            Self::GunicornKillWorkers => f.write_str("gunicorn kill workers"),
            Self::UvicornReload => f.write_str("uvicorn reload"),
            Self::UvicornKillWorkers => f.write_str("uvicorn kill workers"),
            Self::Pm2Reload(app) => write!(f, "pm2 reload {app}"),
            Self::Pm2Restart(app) => write!(f, "pm2 restart {app}"),
            Self::Systemd(unit) => write!(f, "systemctl restart {unit}"),
            Self::Supervisor(program) => write!(f, "supervisorctl restart {program}"),
        }
    }
}
