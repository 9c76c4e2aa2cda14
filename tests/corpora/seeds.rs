//! The fuzzer's corpus: written from the vectors, and replayed with what fuzzing found.

use std::fs;
use std::path::{Path, PathBuf};

use crate::vectors::Vector;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Routes for the walk.
pub const ROUTES: &[u8] = b"/\n/api s\n/admin a\n/Admin/x b\na.test/ l\na.test/api/v1 sa\n*.test/x b\n\n";

/// Writes each vector as a seed of every target: the whole for heads, and what is behind the head for bodies.
pub fn write(vectors: &[Vector]) {
    for (n, vector) in vectors.iter().enumerate() {
        let end = vector.bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
        let body = &vector.bytes[end..];
        let whole = || vector.bytes.clone();
        for (target, bytes) in [
            ("head", whole()),
            ("translation", whole()),
            ("walk", [ROUTES, &vector.bytes].concat()),
            ("framing", [&[7], body].concat()),
        ] {
            let folder = fuzz().join("corpus").join(target);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("vector-{n:03}")), bytes).unwrap();
        }
    }
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.0 304 \r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nX: y\r\n\r\n",
    ];
    for (n, answer) in answers.iter().enumerate() {
        fs::write(fuzz().join("corpus/framing").join(format!("answer-{n}")), [b"\x03", answer.as_bytes()].concat())
            .unwrap();
    }
}

/// Every input of a target: the corpus where there is one, and what once failed.
pub fn all(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folders = [fuzz().join("corpus").join(target), fuzz().join("regressions").join(target)];
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_none());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}
