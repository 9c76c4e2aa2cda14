//! The vectors: bytes, a name, and what their authors say of them.

use std::fs;
use std::path::{Path, PathBuf};

/// One request, or several, or none.
#[derive(Debug, Clone)]
pub struct Vector {
    /// The file, and the line where a file holds many.
    pub name: String,
    pub bytes: Vec<u8>,
    pub kind: Kind,
    /// Whole messages in it; for an invalid one those before the fault, and the faulty one.
    pub messages: usize,
}

/// What the authors' own parser makes of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Valid,
    /// Taken only where leniency was asked for.
    Lenient,
    /// Refused, at once or after the messages before.
    Invalid,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Lenient => "lenient",
            Self::Invalid => "invalid",
        }
    }
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/corpora")
}

fn entries(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/corpora.sh", folder.display()))
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = listed.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    found.sort();
    found
}

/// Every vector, and each that names no host once more with one, so that it is not refused for that alone.
pub fn all() -> Vec<Vector> {
    let mut vectors = gunicorn();
    vectors.extend(llhttp());
    let with_host: Vec<_> = vectors.iter().filter_map(with_host).collect();
    vectors.extend(with_host);
    vectors
}

fn with_host(vector: &Vector) -> Option<Vector> {
    let names_one = vector.bytes.to_ascii_lowercase().windows(5).any(|window| window == b"host:");
    let end = vector.bytes.windows(2).position(|window| window == b"\r\n").filter(|end| *end != 0)?;
    if names_one {
        return None;
    }
    let mut bytes = vector.bytes.clone();
    bytes.splice(end + 2..end + 2, *b"Host: a\r\n");
    Some(Vector { name: format!("{}+host", vector.name), bytes, ..vector.clone() })
}

/// gunicorn's: line ends are written out, those of the file mean nothing.
fn gunicorn() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for kind in [Kind::Invalid, Kind::Valid] {
        for path in entries(&folder().join("gunicorn").join(kind.name()), "http") {
            let name = format!("gunicorn/{}/{}", kind.name(), path.file_name().unwrap().to_str().unwrap());
            let bytes = unescape(&fs::read(&path).unwrap());
            // A file that expects a list of requests has their number beside it.
            let beside = fs::read_to_string(path.with_extension("py")).unwrap();
            let messages = beside.matches("\"method\":").count().max(1);
            vectors.push(Vector { name, bytes, kind, messages });
        }
    }
    vectors
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'\n').collect();
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = |at: usize| {
            text.get(at..at + 2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok())
        };
        let (byte, length) = match (text[at], text.get(at + 1)) {
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'0')) => (b'\0', 2),
            (b'\\', Some(b'x')) if hex(at + 2).is_some() => (hex(at + 2).unwrap(), 4),
            (byte, _) => (byte, 1),
        };
        bytes.push(byte);
        at += length;
    }
    bytes
}

/// llhttp's: code blocks of documents, each followed by what its parser says.
fn llhttp() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for path in entries(&folder().join("llhttp"), "md") {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let (mut input, mut meta) = (None, "");
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let block = |lines: &mut dyn Iterator<Item = (usize, &str)>| {
                lines.map(|(_, line)| line).take_while(|line| *line != "```").collect::<Vec<_>>().join("\n")
            };
            match line {
                "```http" => input = Some((number + 1, block(&mut lines))),
                "```log" => {
                    let log = block(&mut lines);
                    // The parser's own pauses are nobody else's.
                    let Some((number, text)) = input.take().filter(|_| !meta.contains("pause")) else { continue };
                    let refused = |line: &str| line.contains("error code=") && !line.contains("Pause on");
                    let kind = match () {
                        () if log.lines().any(refused) => Kind::Invalid,
                        () if meta.contains("lenient") => Kind::Lenient,
                        () => Kind::Valid,
                    };
                    let messages = log.matches("message begin").count().max(1);
                    vectors.push(Vector {
                        name: format!("llhttp/{file}:{number}"),
                        bytes: written_out(&text),
                        kind,
                        messages,
                    });
                }
                _ if line.starts_with("<!-- meta=") => meta = line,
                _ => {}
            }
        }
    }
    vectors
}

/// The escapes of llhttp's own runner, in its order.
fn written_out(text: &str) -> Vec<u8> {
    let text = text.replace("\\\n", "").replace('\n', "\r\n");
    let text = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t").replace("\\f", "\x0c");
    let (mut bytes, mut rest) = (Vec::new(), text.as_str());
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let behind = &rest[at + 1..];
        let (digits, radix) = match behind.strip_prefix('x') {
            Some(hex) => (hex.chars().take_while(char::is_ascii_hexdigit).collect::<String>(), 16),
            None => (behind.chars().take_while(|c| ('0'..='7').contains(c)).take(3).collect(), 8),
        };
        let Ok(code) = u32::from_str_radix(&digits, radix) else {
            bytes.push(b'\\');
            rest = behind;
            continue;
        };
        // As its runner writes them: a code point in UTF-8.
        let mut buffer = [0; 4];
        bytes.extend_from_slice(char::from_u32(code).unwrap().encode_utf8(&mut buffer).as_bytes());
        rest = &behind[digits.len() + usize::from(radix == 16)..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
