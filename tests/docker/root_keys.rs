//! The image that starts as root, with certbot's files: only root can read them.

use std::fs::{self, Permissions, set_permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::bench::{Box as Container, cli, eventually, image};

const FILE: &str = "listen: [{ address: 8443, tls: { certificate: /etc/letsencrypt/live/a/fullchain.pem, \
                    key: /etc/letsencrypt/live/a/privkey.pem } }]\n\
                    docker: off\nroutes: { /: a }\nupstreams: { a: 127.0.0.1:9 }\n";

fn mode(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A folder as certbot keeps it, closed to everybody but root.
struct Certbot {
    folder: tempfile::TempDir,
    renewals: u32,
}

impl Certbot {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(rustix::process::geteuid().as_raw(), 0, "this test makes files of root");
        for name in ["conf", "letsencrypt/live/a", "letsencrypt/archive/a"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        mode(folder.path(), 0o755);
        mode(&folder.path().join("letsencrypt/live"), 0o700);
        mode(&folder.path().join("letsencrypt/archive"), 0o700);
        fs::write(folder.path().join("conf/remora.yaml"), FILE).unwrap();
        Self { folder, renewals: 0 }
    }

    /// Writes the next version and points `live` at it.
    fn renew(&mut self) -> CertificateDer<'static> {
        self.renewals += 1;
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let root = self.folder.path().join("letsencrypt");
        for (name, text) in [("fullchain", made.cert.pem()), ("privkey", made.signing_key.serialize_pem())] {
            let version = format!("archive/a/{name}{}.pem", self.renewals);
            fs::write(root.join(&version), text).unwrap();
            mode(&root.join(&version), 0o600);
            symlink(format!("../../{version}"), root.join("live/a/new")).unwrap();
            fs::rename(root.join("live/a/new"), root.join(format!("live/a/{name}.pem"))).unwrap();
        }
        made.cert.der().clone()
    }

    /// `docker run` options for the built executable and entrypoint over those of the image, as `user`.
    fn options(&self, user: &str) -> Vec<String> {
        let here = env!("CARGO_MANIFEST_DIR");
        let mount = |from: String, to: &str| ["-v".to_owned(), format!("{from}:{to}:ro")];
        let folder = self.folder.path().display();
        let mounts = [
            mount(env!("CARGO_BIN_EXE_remora").to_owned(), "/usr/local/bin/remora"),
            mount(format!("{here}/deploy/docker-entrypoint.sh"), "/usr/local/bin/docker-entrypoint.sh"),
            mount(format!("{folder}/conf"), "/etc/remora"),
            mount(format!("{folder}/letsencrypt"), "/etc/letsencrypt"),
        ];
        ["--user".to_owned(), user.to_owned()].into_iter().chain(mounts.into_iter().flatten()).collect()
    }

    /// Exit code of `remora check` in a container of its own, and what it said.
    fn checked(&self, user: &str) -> (Option<i32>, String) {
        let options = self.options(user);
        let mut args = vec!["run", "--rm"];
        args.extend(options.iter().map(String::as_str));
        args.extend([IMAGE, "check"]);
        said(&args)
    }
}

const IMAGE: &str = "remora:latest";

fn said(args: &[&str]) -> (Option<i32>, String) {
    let output = cli(args);
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code(), text)
}

/// Whether a client who trusts this certificate and no other gets it.
fn shows(address: SocketAddr, certificate: &CertificateDer<'static>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from("a.example").unwrap()).unwrap();
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    while client.is_handshaking() {
        if client.complete_io(&mut stream).is_err() {
            return false;
        }
    }
    true
}

/// A line of `/proc/PID/status`.
fn status(container: &Container, pid: &str, key: &str) -> String {
    let line = container.shell(&format!("grep '^{key}:' /proc/{pid}/status"));
    line.split_once(':').map_or_else(|| panic!("no {key}: {line}"), |(_, value)| value.trim().replace('\t', " "))
}

/// What the reader says to a user of the container who asks for a file.
fn asked(container: &Container, user: &str, path: &str) -> String {
    let script = format!(
        "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; \
         connect($s, pack_sockaddr_un(\"\\0remora/certificates/\" . readlink('/proc/self/ns/mnt'))) or die \"no: $!\"; \
         $s->autoflush(1); print $s qq({{\"v\":1,\"say\":{{\"read\":\"{path}\"}}}}\\n); print <$s>;"
    );
    said(&["exec", "-u", user, &container.name, "perl", "-MIO::Handle", "-e", &script]).1
}

#[test]
#[ignore = "needs Docker"]
fn a_key_of_root_alone_is_read_and_nothing_else_is() {
    image(&[IMAGE]);
    let mut certbot = Certbot::new();
    let first = certbot.renew();
    let options = certbot.options("0");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let container = Container::run("edge", &options, IMAGE, &["run"]);
    let address = container.address(8443);
    eventually("it shows the certificate", || shows(address, &first));

    // The edge can do no more than without; the reader can read, and is neither the edge's user nor root.
    #[rustfmt::skip]
    let rows = [
        ("Uid",        "10001 10001 10001 10001"),
        ("Gid",        "10001 10001 10001 10001"),
        ("Groups",     ""),
        ("CapInh",     "0000000000000000"),
        ("CapPrm",     "0000000000000000"),
        ("CapEff",     "0000000000000000"),
        ("CapAmb",     "0000000000000000"),
        ("NoNewPrivs", "1"),
    ];
    for (key, expected) in rows {
        assert_eq!(status(&container, "1", key), expected, "the edge's {key}");
    }
    let processes = container.processes();
    let reader =
        processes.lines().find(|line| line.contains("certificate-reader")).unwrap_or_else(|| panic!("{processes}"));
    let reader = reader.split(' ').next().unwrap();
    // CAP_DAC_OVERRIDE alone, which is what Docker gives (capabilities(7)).
    let rows = [("Uid", "10002 10002 10002 10002"), ("CapPrm", "0000000000000002"), ("NoNewPrivs", "1")];
    for (key, expected) in rows {
        assert_eq!(status(&container, reader, key), expected, "the reader's {key}");
    }

    let key = "/etc/letsencrypt/live/a/privkey.pem";
    assert!(asked(&container, "10001", key).contains("PRIVATE KEY"), "the edge may have what is named");
    for path in ["/etc/shadow", "/etc/letsencrypt/archive/a/privkey1.pem", "/etc/letsencrypt/live/a/../a/privkey.pem"] {
        let refused = asked(&container, "10001", path);
        assert_eq!(refused.trim(), "{\"v\":1,\"say\":{\"failed\":\"not_named\"}}", "{path}");
    }
    assert!(!asked(&container, "65534", key).contains("PRIVATE KEY"), "nobody else gets anything");

    // Renewed while it runs, and found without a word.
    let second = certbot.renew();
    eventually("it shows the renewed certificate", || shows(address, &second));
    assert!(!shows(address, &first));
}

#[test]
#[ignore = "needs Docker"]
fn check_says_of_such_a_key_what_run_will() {
    image(&[IMAGE]);
    let mut certbot = Certbot::new();
    certbot.renew();
    let (code, said_alone) = certbot.checked("remora");
    assert_eq!(code, Some(2), "{said_alone}");
    assert!(said_alone.contains("permission denied") && said_alone.contains("user: \"0\""), "{said_alone}");
    let (code, as_root) = certbot.checked("0");
    assert_eq!(code, Some(0), "{as_root}");

    let options = certbot.options("0");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let container = Container::run("edge", &options, IMAGE, &["run"]);
    eventually("it listens", || TcpStream::connect(container.address(8443)).is_ok());
    let checked = |user: &str| said(&["exec", "-u", user, &container.name, "remora", "check"]);
    for user in ["0", "remora"] {
        let (code, text) = checked(user);
        assert_eq!(code, Some(0), "{user}: {text}");
    }
    // What root could read and the edge could not, is wrong for both.
    mode(&certbot.folder.path().join("conf/remora.yaml"), 0o600);
    for user in ["0", "remora"] {
        let (code, text) = checked(user);
        assert_eq!(code, Some(2), "{user}: {text}");
    }
}

#[test]
#[ignore = "needs Docker"]
fn where_no_certificate_is_named_no_reader_stays() {
    image(&[IMAGE]);
    let certbot = Certbot::new();
    let file = "docker: off\nroutes: { /: a }\nupstreams: { a: 127.0.0.1:9 }\n";
    fs::write(certbot.folder.path().join("conf/remora.yaml"), file).unwrap();
    let options = certbot.options("0");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let container = Container::run("edge", &options, IMAGE, &["run"]);
    eventually("it listens", || TcpStream::connect(container.address(80)).is_ok());
    assert!(!container.processes().contains("certificate-reader"), "{}", container.processes());
    let states = container.shell("cat /proc/[0-9]*/stat");
    assert!(states.contains("(remora) ") && !states.contains(") Z "), "{states}");
}
