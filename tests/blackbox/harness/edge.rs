//! The real executable with a configuration of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use super::client::is_tls;
use super::secure::{Certificate, secure};
use super::{Client, PATIENCE, raw};

/// A process that ends when this is dropped, also by a test that fails.
pub struct Running(Child);

impl Running {
    /// Starts the executable with its output read line by line, so that it never waits for a reader.
    pub fn start(command: &mut Command) -> (Self, Lines, Lines) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
        (Self(child), stdout, stderr)
    }

    /// The status, once it has ended.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running edge. On a failed test its configuration and log are printed.
pub struct TestEdge {
    child: Running,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub folder: tempfile::TempDir,
    /// Of TLS, where every client uses it.
    certificates: Option<tempfile::TempDir>,
    head: String,
    stdout: Lines,
    stderr: Lines,
}

/// Lines of a process so far.
pub type Lines = Arc<Mutex<Vec<String>>>;

/// A port of loopback that nobody listens on now. Each is given once, and none is one the system gives to clients, so
/// that tests beside each other do not take it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let first = u16::try_from(std::process::id() % 40).unwrap() * 500;
        let port = 10_000 + (first + next) % 20_000;
        // Bound and not listened on: a process that another test forks meanwhile has this socket too until it runs its
        // program, and would be taken for the edge, or keep the edge from listening.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        if socket.bind(addr(port)).is_ok() {
            return port;
        }
    }
}

/// The process setting that the suite runs with: `REMORA_TEST_LANE=full` sends every request through the full lane.
pub fn lane() -> &'static str {
    match std::env::var("REMORA_TEST_LANE").as_deref() {
        Ok("full") => "lane: full\n",
        Ok("auto") | Err(_) => "",
        Ok(other) => panic!("REMORA_TEST_LANE is `{other}`; it must be `auto` or `full`"),
    }
}

/// True where every request goes through Pingora's proxy, which settles some things before anything of ours is asked.
pub fn is_full_lane() -> bool {
    !lane().is_empty()
}

fn collect(stream: impl std::io::Read + Send + 'static) -> Lines {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            sink.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    });
    lines
}

impl TestEdge {
    /// Starts an edge with the given routes and upstreams; `listen` and `admin` are added.
    pub async fn start(site: &str) -> Self {
        Self::start_with("", site).await
    }

    /// Starts an edge with further process settings.
    pub async fn start_with(process: &str, site: &str) -> Self {
        Self::start_through("exec", process, site).await
    }

    /// Starts an edge with a `listen` of its own, which names the given plain address too.
    pub async fn start_listening(listen: impl FnOnce(SocketAddr) -> String, process: &str, site: &str) -> Self {
        Self::start_at("exec", listen, process, site).await
    }

    /// Starts an edge through a line of shell that its command is added to, such as `ulimit -n 64; exec`.
    pub async fn start_through(shell: &str, process: &str, site: &str) -> Self {
        if !is_tls() {
            return Self::start_at(shell, |address| format!("\"{address}\""), process, site).await;
        }
        let (certificates, secured) = (tempfile::tempdir().unwrap(), addr(free_port()));
        let certificate = Certificate::in_folder(certificates.path(), "a");
        certificate.renew("a.example");
        let listen = |plain| {
            secure(plain, secured);
            format!("[\"{plain}\", {{ address: \"{secured}\", tls: {} }}]", certificate.yaml())
        };
        let mut edge = Self::start_at(shell, listen, process, site).await;
        edge.certificates = Some(certificates);
        edge
    }

    async fn start_at(shell: &str, listen: impl FnOnce(SocketAddr) -> String, process: &str, site: &str) -> Self {
        let (address, admin) = (addr(free_port()), addr(free_port()));
        let folder = tempfile::tempdir().unwrap();
        let head = format!(
            "listen: {}
admin: \"{admin}\"
docker: off
{}",
            listen(address),
            lane()
        );
        std::fs::write(
            folder.path().join("remora.yaml"),
            format!(
                "{head}{process}
{site}"
            ),
        )
        .unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{shell} \"$0\" \"$@\""), env!("CARGO_BIN_EXE_remora"), "run"]);
        let (child, stdout, stderr) = Running::start(command.arg(folder.path().join("remora.yaml")));
        let mut edge = Self { child, address, admin, folder, certificates: None, head, stdout, stderr };
        edge.wait_for_start().await;
        edge
    }

    /// Waits until the admin listener answers: then every address is listened on.
    async fn wait_for_start(&mut self) {
        let start = Instant::now();
        let asks = b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        while tokio::net::TcpStream::connect(self.admin).await.is_err()
            || !raw(self.admin, asks).await.starts_with("HTTP/1.1 200")
        {
            assert!(self.child.ended().is_none(), "the edge ended: {:#?}", self.log());
            assert!(start.elapsed() < PATIENCE, "the edge does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("remora.yaml")
    }

    /// The first lines of the file, which a new site must keep.
    pub fn head(&self) -> String {
        self.head.clone()
    }

    /// Writes the file anew, as an editor does: beside it, then renamed over it.
    pub fn edit(&self, site: &str) {
        let beside = self.folder.path().join(".remora.yaml.swp");
        std::fs::write(&beside, format!("{}{site}", self.head())).unwrap();
        std::fs::rename(beside, self.file()).unwrap();
    }

    pub fn client(&self) -> Client {
        Client::usual(self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Resident memory, MiB.
    pub fn resident_mib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
    }

    /// Open file descriptors.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// The exit code, once the process has ended.
    pub async fn ended(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.ended() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "the edge does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lines of the error log so far.
    pub fn log(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    /// Lines of the access log so far.
    pub fn access_log(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    /// True once a line of the error log has the text.
    pub fn logged(&self, text: &str) -> bool {
        self.stderr.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// The same, but a line that is not there yet is waited for, for a second: they gather before they are written.
    pub fn told(&self, text: &str) -> bool {
        let start = Instant::now();
        loop {
            if self.logged(text) {
                return true;
            }
            if Duration::from_secs(1) < start.elapsed() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs another command of the executable against this edge.
    pub async fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_remora"));
        command.args(arguments).arg("--admin").arg(self.admin.to_string()).output().await.unwrap()
    }

    /// The status document.
    pub async fn status(&self) -> serde_json::Value {
        let answer = Client::new(self.admin).get("/status").await;
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The state of every backend of an upstream, as `status` tells it.
    pub async fn states(&self, upstream: &str) -> Vec<String> {
        let status = self.status().await;
        let upstreams = status["upstreams"].as_array().unwrap();
        let found = upstreams.iter().find(|entry| entry["name"] == upstream).unwrap();
        let backends = found["backends"].as_array().unwrap();
        backends.iter().map(|backend| backend["state"].as_str().unwrap().to_owned()).collect()
    }

    /// The counters of the exposition as text.
    pub async fn metrics(&self) -> String {
        Client::new(self.admin).get("/metrics").await.body
    }
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Drop for TestEdge {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- remora.yaml\n{}", std::fs::read_to_string(self.file()).unwrap_or_default());
            eprintln!("--- log\n{}", self.log().join("\n"));
        }
    }
}
