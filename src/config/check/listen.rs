//! Where it listens, in plain or with TLS. Certificates are named here and read when the process starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::super::model::{CertificateSpec, ListenAddress, ListenSpec, TlsSpec, TlsVersion};
use super::super::problem::{Problem, Problems};
use super::super::raw::{RawCertificate, RawListen, RawTls};
use super::super::read::{Form, Item, choice, field, one_or_many, open, text};
use super::super::words::quoted;
use super::leaf::{all, required};

const FORMS: &str = "a port such as `80`, an address such as `127.0.0.1:8080` or `[::]:80`, or a list of them";
const LONG_FORM: &str = "`{ address: 443, tls: { certificate: fullchain.pem, key: key.pem } }`";
const TLS_FORMS: &str = "`{ certificate: fullchain.pem, key: key.pem }`, or a list of them";

/// The listeners. Paths of certificates are relative to `folder`.
pub(super) fn listen(item: Option<Item>, folder: &Path, problems: &mut Problems) -> Option<Vec<ListenSpec>> {
    let Some(item) = item else { return Some(vec![ListenSpec::plain(ListenAddress::Port(80))]) };
    let items = one_or_many(&item);
    if items.is_empty() {
        return problems.add(Problem::new(&item.place, "`listen` is an empty list").help(format!("write {FORMS}")));
    }
    let found: Vec<_> = items.iter().map(|item| listener(item, folder, problems)).collect();
    for (index, spec) in found.iter().enumerate() {
        let same = found.iter().take(index).position(|earlier| overlap(earlier.as_ref(), spec.as_ref()));
        if let (Some(first), Some(item)) = (same.and_then(|first| items.get(first)), items.get(index)) {
            let problem = Problem::new(&item.place, "this address is listed twice");
            problems.add::<()>(problem.other("first listed", &first.place).help("remove one of the two"));
        }
    }
    all(found)
}

/// A bare port takes every address; port 0 is a different free one each time.
fn overlap(a: Option<&ListenSpec>, b: Option<&ListenSpec>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    match (a.address, b.address) {
        (ListenAddress::Port(a), ListenAddress::Port(b)) => a == b,
        (ListenAddress::Port(port), ListenAddress::Address(address))
        | (ListenAddress::Address(address), ListenAddress::Port(port)) => port == address.port(),
        (ListenAddress::Address(a), ListenAddress::Address(b)) => a == b && a.port() != 0,
    }
}

fn listener(item: &Item, folder: &Path, problems: &mut Problems) -> Option<ListenSpec> {
    match item.form() {
        Form::Text(text) => address(item, &text, problems).map(ListenSpec::plain),
        Form::Map => {
            let mut raw: RawListen = open(item, LONG_FORM, problems)?;
            let address = required(field!(raw.address, item), "address", item, "`address: 443`", problems)
                .and_then(|at| text(&at, problems).and_then(|text| address(&at, &text, problems)));
            let tls = match field!(raw.tls, item) {
                Some(item) => tls(&item, folder, problems).map(Some),
                None => Some(None),
            };
            Some(ListenSpec { address: address?, tls: tls? })
        }
        Form::List(_) | Form::Nothing => item.wrong_form(&format!("{FORMS}; with TLS {LONG_FORM}"), problems),
    }
}

fn address(item: &Item, text: &str, problems: &mut Problems) -> Option<ListenAddress> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) {
        return match port.parse::<u16>() {
            Ok(port) if port != 0 => Some(ListenAddress::Port(port)),
            Ok(_) | Err(_) => {
                let message = format!("{} is not a port", quoted(text));
                problems.add(Problem::new(&item.place, message).help("write 1 to 65535"))
            }
        };
    }
    match text.parse::<SocketAddr>() {
        Ok(address) => Some(ListenAddress::Address(address)),
        Err(_) => {
            let message = format!("{} is not an address to listen on", quoted(text));
            problems.add(Problem::new(&item.place, message).help(address_help(text)))
        }
    }
}

fn address_help(text: &str) -> String {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "80"));
    let port = if port.parse::<u16>().is_ok() { port } else { "80" };
    match host {
        _ if text.contains("ssl") || text.starts_with("https") => format!("for TLS write {LONG_FORM}"),
        _ if text.parse::<Ipv4Addr>().is_ok() => format!("add a port: `{text}:80`"),
        "localhost" => format!("write `127.0.0.1:{port}`"),
        "*" => format!("write `{port}`: a port alone means every address"),
        _ => format!("write {FORMS}"),
    }
}

fn tls(item: &Item, folder: &Path, problems: &mut Problems) -> Option<TlsSpec> {
    if matches!(item.form(), Form::List(_)) {
        return Some(TlsSpec { certificates: certificates(item, folder, problems)?, min: TlsVersion::Tls12 });
    }
    let mut raw: RawTls = open(item, TLS_FORMS, problems)?;
    let min = match field!(raw.min, item) {
        Some(min) => choice(&min, &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)], problems),
        None => Some(TlsVersion::Tls12),
    };
    let several = field!(raw.certificates, item);
    let (certificate, key) = (field!(raw.certificate, item), field!(raw.key, item));
    let certificates = match several {
        Some(several) => {
            for extra in [certificate, key].into_iter().flatten() {
                let problem = Problem::new(
                    &extra.place.of_key(),
                    format!("{} cannot be combined with `certificates`", quoted(extra.place.name())),
                );
                problems.add::<()>(problem.help("move this certificate and its key into the list"));
            }
            certificates(&several, folder, problems)
        }
        None => pair(certificate, key, item, folder, problems).map(|pair| vec![pair]),
    };
    Some(TlsSpec { certificates: certificates?, min: min? })
}

fn certificates(item: &Item, folder: &Path, problems: &mut Problems) -> Option<Vec<CertificateSpec>> {
    let items = one_or_many(item);
    if items.is_empty() {
        let problem = Problem::new(&item.place, "this list is empty");
        return problems.add(problem.help(format!("write {TLS_FORMS}")));
    }
    let read = |item: &Item| {
        let mut raw: RawCertificate = open(item, TLS_FORMS, problems)?;
        pair(field!(raw.certificate, item), field!(raw.key, item), item, folder, problems)
    };
    all(items.iter().map(read).collect())
}

fn pair(
    certificate: Option<Item>,
    key: Option<Item>,
    of: &Item,
    folder: &Path,
    problems: &mut Problems,
) -> Option<CertificateSpec> {
    let certificate = required(certificate, "certificate", of, "`certificate: fullchain.pem`", problems)
        .and_then(|item| file(&item, folder, problems));
    let key = required(key, "key", of, "`key: key.pem`", problems).and_then(|item| file(&item, folder, problems));
    Some(CertificateSpec { certificate: certificate?, key: key? })
}

/// The path of a PEM file.
fn file(item: &Item, folder: &Path, problems: &mut Problems) -> Option<PathBuf> {
    let text = text(item, problems)?;
    if text.trim().is_empty() || text.contains("-----BEGIN") {
        let problem = Problem::new(&item.place, format!("{} is not a path", quoted(item.place.name())));
        return problems.add(problem.help("write the path of a PEM file, such as `/etc/remora/tls/fullchain.pem`"));
    }
    let here = Path::new(".");
    Some(if folder == here { PathBuf::from(text) } else { folder.join(text) })
}
