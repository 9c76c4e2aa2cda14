//! The real executable with a configuration of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Client, PATIENCE};

/// A running edge. On a failed test its configuration and log are printed.
pub struct TestEdge {
    child: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub folder: tempfile::TempDir,
    stderr: Arc<Mutex<Vec<String>>>,
    stdout: Arc<Mutex<Vec<String>>>,
}

/// A port of loopback that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn collect(stream: impl std::io::Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            sink.lock().unwrap().push(line);
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
        let (address, admin) = (addr(free_port()), addr(free_port()));
        let folder = tempfile::tempdir().unwrap();
        let head = format!("listen: \"{address}\"\nadmin: \"{admin}\"\ndocker: off\n{process}\n");
        std::fs::write(folder.path().join("remora.yaml"), format!("{head}{site}")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_remora"))
            .arg("run")
            .arg(folder.path().join("remora.yaml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = collect(child.stderr.take().unwrap());
        let stdout = collect(child.stdout.take().unwrap());
        let mut edge = Self { child, address, admin, folder, stderr, stdout };
        edge.wait_for_start().await;
        edge
    }

    async fn wait_for_start(&mut self) {
        let start = Instant::now();
        while tokio::net::TcpStream::connect(self.admin).await.is_err()
            || tokio::net::TcpStream::connect(self.address).await.is_err()
        {
            assert!(self.child.try_wait().unwrap().is_none(), "the edge ended: {:#?}", self.log());
            assert!(start.elapsed() < PATIENCE, "the edge does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("remora.yaml")
    }

    /// The first lines of the file, which a new site must keep.
    pub fn head(&self) -> String {
        let text = std::fs::read_to_string(self.file()).unwrap();
        text.lines().take(3).map(|line| format!("{line}\n")).collect()
    }

    /// Writes the file anew, as an editor does: beside it, then renamed over it.
    pub fn edit(&self, site: &str) {
        let beside = self.folder.path().join(".remora.yaml.swp");
        std::fs::write(&beside, format!("{}{site}", self.head())).unwrap();
        std::fs::rename(beside, self.file()).unwrap();
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
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
            if let Some(status) = self.child.try_wait().unwrap() {
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
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- remora.yaml\n{}", std::fs::read_to_string(self.file()).unwrap_or_default());
            eprintln!("--- log\n{}", self.log().join("\n"));
        }
    }
}
