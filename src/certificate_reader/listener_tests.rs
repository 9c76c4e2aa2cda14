//! The reader on real files and a real socket: what is named is read, and nothing else by whatever way.

use std::fs;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use super::super::changeable::EdgeUser;
use super::super::contents::NoContents;
use super::*;

/// Some other user than the one who runs the test and owns what it makes.
const STRANGER: EdgeUser = EdgeUser { user: 4_000_001, group: 4_000_001 };

fn configured(folder: &Path, keys: &str) {
    let listen = format!("listen: [{{ address: 8443, tls: [{keys}] }}]\n");
    fs::write(folder.join("remora.yaml"), format!("{listen}routes: {{ /: a }}\nupstreams: {{ a: a:80 }}\n")).unwrap();
}

/// A folder as an operator has it: a configuration that names one pair, and a file that it does not name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["cert.pem", "key.pem", "other.pem"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    configured(folder.path(), "{ certificate: cert.pem, key: key.pem }");
    folder
}

fn named(folder: &Path, edge: EdgeUser) -> NamedFiles {
    NamedFiles::of(folder.join("remora.yaml"), edge).unwrap()
}

#[test]
fn what_the_configuration_names_is_read_and_nothing_else() {
    let folder = folder();
    let root = folder.path();
    let mut files = named(root, STRANGER);
    assert_eq!(files.count(), 2);
    assert_eq!(files.read(&root.join("key.pem")).unwrap(), b"key.pem");
    assert_eq!(files.read(&root.join("other.pem")), Err(NoContents::NotNamed));
    assert_eq!(files.read(Path::new("/etc/passwd")), Err(NoContents::NotNamed));
    assert_eq!(files.read(&root.join("x/../other.pem")), Err(NoContents::NotNamed));
    // Renewed, as certbot does it: another file under the same name.
    fs::write(root.join("new"), "renewed").unwrap();
    fs::rename(root.join("new"), root.join("key.pem")).unwrap();
    assert_eq!(files.read(&root.join("key.pem")).unwrap(), b"renewed");
    // A file that was named later is found, and the running edge keeps what it started with.
    configured(root, "{ certificate: other.pem, key: other.pem }");
    assert_eq!(files.read(&root.join("other.pem")).unwrap(), b"other.pem");
    assert_eq!(files.read(&root.join("key.pem")).unwrap(), b"renewed");
    // A file with mistakes names nothing.
    fs::write(root.join("remora.yaml"), "listen: [{ address: 1, tls: { key: third.pem } }]").unwrap();
    assert_eq!(files.read(&root.join("third.pem")), Err(NoContents::NotNamed));
}

#[test]
fn what_the_edge_could_change_is_not_followed() {
    let folder = folder();
    let root = folder.path();
    let mut files = named(root, STRANGER);
    let open = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(&root.join("key.pem"), 0o602);
    let refused = files.read(&root.join("key.pem")).unwrap_err();
    assert_eq!(refused, NoContents::Changeable(root.join("key.pem").display().to_string()));
    // Nor does a configuration name anything that it could write itself.
    configured(root, "{ certificate: other.pem, key: other.pem }");
    open(&root.join("remora.yaml"), 0o666);
    let refused = files.read(&root.join("other.pem")).unwrap_err();
    assert_eq!(refused, NoContents::Changeable(root.join("remora.yaml").display().to_string()));
    let own = EdgeUser { user: rustix::process::geteuid().as_raw(), ..STRANGER };
    assert!(NamedFiles::of(root.join("remora.yaml"), own).is_err());
}

/// A reader at work, for this test's user.
fn reader(name: &str, files: NamedFiles) -> ReaderAddress {
    let own = rustix::process::geteuid().as_raw();
    let address = ReaderAddress::named(&format!("{name}/{}", std::process::id()), vec![own]).unwrap();
    let socket = bind(&address).unwrap();
    thread::spawn(move || socket.serve(files));
    address
}

#[test]
fn the_edge_is_answered_and_strangers_are_not() {
    let folder = folder();
    let address = reader("answers", named(folder.path(), STRANGER));
    assert!(bind(&address).is_err(), "there is one reader");
    let read = |name: &str| address.read(&folder.path().join(name));
    if rustix::process::geteuid().is_root() {
        assert_eq!(read("key.pem").unwrap(), b"key.pem");
        assert_eq!(read("other.pem"), Err(NoContents::NotNamed));
    } else {
        let refused = read("key.pem").unwrap_err();
        assert!(matches!(&refused, NoContents::Other(why) if why.contains("did not answer")), "{refused}");
    }
    let elsewhere = ReaderAddress { users: vec![STRANGER.user], ..address };
    assert_eq!(elsewhere.read(&folder.path().join("key.pem")), Err(NoContents::Denied), "not the reader's user");
}

#[test]
fn nonsense_ends_a_connection_and_no_reader() {
    let folder = folder();
    let address = reader("nonsense", named(folder.path(), STRANGER));
    let long = vec![b'x'; REQUEST_MAX + 1];
    for bytes in [b"read /etc/shadow\n".as_slice(), b"", &long] {
        let mut stream = UnixStream::connect_addr(&address.socket).unwrap();
        // It may have been closed before everything was taken.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{answer:?}");
    }
    let silent = UnixStream::connect_addr(&address.socket).unwrap();
    let asked = Instant::now();
    let answer = address.read(&folder.path().join("other.pem"));
    assert!(asked.elapsed() < WITHIN * 2, "whoever says nothing holds others up for a moment only");
    drop(silent);
    assert!(answer.is_err());
}
