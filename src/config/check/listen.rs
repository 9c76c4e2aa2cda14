//! Where it listens, in plain or with TLS. Certificates are named here; whoever loads the file says who looks into them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::super::model::{CertificatePart, CertificateSpec, ListenAddress, ListenSpec, TlsSpec, TlsVersion};
use super::super::place::Place;
use super::super::problem::{Problem, Problems};
use super::super::proof::{CertificateFault, Prove};
use super::super::raw::{RawCertificate, RawListen, RawTls};
use super::super::read::{Form, Item, choice, field, one_or_many, open, text};
use super::super::words::quoted;
use super::leaf::{all, required};

const FORMS: &str = "a port such as `80`, an address such as `127.0.0.1:8080` or `[::]:80`, or a list of them";
const LONG_FORM: &str = "`{ address: 443, tls: { certificate: fullchain.pem, key: key.pem } }`";
const TLS_FORMS: &str = "`{ certificate: fullchain.pem, key: key.pem }`, or a list of them";

/// The files of certificates: where they are, and who looks into them.
#[derive(Clone, Copy)]
pub(super) struct PemFiles<'a> {
    /// To which paths are relative.
    pub folder: &'a Path,
    pub prove: Prove<'a>,
}

/// An address that the process has beside its listeners.
pub(super) struct OwnAddress {
    /// Its key.
    pub key: &'static str,
    pub address: SocketAddr,
    /// Where it is written; `None` for the usual one.
    pub place: Option<Place>,
}

/// The listeners, none of which may be where one of `others` is; nor may two of these be at one place.
pub(super) fn listen(
    item: Option<Item>,
    others: &[OwnAddress],
    files: PemFiles<'_>,
    problems: &mut Problems,
) -> Option<Vec<ListenSpec>> {
    for (index, own) in others.iter().enumerate() {
        let at = ListenAddress::Address(own.address);
        if let Some(first) = others.iter().take(index).find(|first| takes(at, first.address)) {
            taken(own, first, problems);
        }
    }
    let Some(item) = item else {
        let usual = ListenAddress::Port(80);
        for own in others.iter().filter(|own| takes(usual, own.address)) {
            let Some(place) = &own.place else { continue };
            let problem =
                Problem::new(place, format!("`listen` is here too: it is {usual} unless the file says otherwise"));
            problems.add::<()>(problem.help(move_away(own)));
        }
        return Some(vec![ListenSpec::plain(usual)]);
    };
    let items = one_or_many(&item);
    if items.is_empty() {
        return problems.add(Problem::new(&item.place, "`listen` is an empty list").help(format!("write {FORMS}")));
    }
    let found: Vec<_> = items.iter().map(|item| listener(item, files, problems)).collect();
    for (index, spec) in found.iter().enumerate() {
        let (Some(spec), Some(item)) = (spec, items.get(index)) else { continue };
        let other = found.iter().zip(&items).take(index).find_map(|(earlier, item)| {
            earlier
                .as_ref()
                .filter(|earlier| earlier.address.overlaps(spec.address))
                .map(|earlier| (earlier.address, item))
        });
        if let Some((address, first)) = other {
            let problem = Problem::new(&item.place, listed_twice(address, spec.address));
            problems.add::<()>(problem.other("first listed", &first.place).help("remove one of the two"));
        }
        for own in others.iter().filter(|own| takes(spec.address, own.address)) {
            let problem = Problem::new(&item.place, format!("`{}` has the address {} here too", own.key, own.address));
            let problem = own.place.iter().fold(problem, |problem, place| problem.other("written", place));
            problems.add::<()>(problem.help(move_away(own)));
        }
    }
    all(found)
}

fn taken(own: &OwnAddress, first: &OwnAddress, problems: &mut Problems) {
    // One of two is written, since what is usual differs.
    let (place, said, other) = match (&own.place, &first.place) {
        (Some(place), other) => (place, first, other.as_ref()),
        (None, Some(place)) => (place, own, None),
        (None, None) => return,
    };
    let problem = Problem::new(place, format!("`{}` has the address {} too", said.key, said.address));
    let problem = other.into_iter().fold(problem, |problem, place| problem.other("written", place));
    problems.add::<()>(problem.help(move_away(said)));
}

fn move_away(own: &OwnAddress) -> String {
    let mut other = own.address;
    other.set_port(other.port().checked_add(1).unwrap_or(9903));
    let other = if other.is_ipv4() { other.to_string() } else { format!("\"{other}\"") };
    format!("use another port here, or another for `{}`, such as `{}: {other}`", own.key, own.key)
}

fn listed_twice(first: ListenAddress, second: ListenAddress) -> String {
    let is_same = |ip: IpAddr| ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    match (first, second) {
        (ListenAddress::Port(port), ListenAddress::Address(address))
        | (ListenAddress::Address(address), ListenAddress::Port(port))
            if !is_same(address.ip()) =>
        {
            format!("`{address}` is taken by `{port}`, which means every address")
        }
        (ListenAddress::Address(a), ListenAddress::Address(b)) if a != b => {
            let (every, one) = if a.ip().is_unspecified() { (a, b) } else { (b, a) };
            format!("`{one}` is taken by `{every}`, which means every address of its kind")
        }
        _ => "this address is listed twice".into(),
    }
}

/// True when a listener would take what another has. One of `[::]` takes IPv4 too, or may, and a port takes both.
fn takes(listen: ListenAddress, own: SocketAddr) -> bool {
    let takes_both = |address: SocketAddr| address.ip() == Ipv6Addr::UNSPECIFIED;
    let is_of_both = match listen {
        ListenAddress::Port(_) => true,
        ListenAddress::Address(address) => takes_both(address) || takes_both(own),
    };
    let is_same_port = listen.port() == own.port() && own.port() != 0;
    (is_of_both && is_same_port) || listen.overlaps(ListenAddress::Address(own))
}

fn listener(item: &Item, files: PemFiles<'_>, problems: &mut Problems) -> Option<ListenSpec> {
    match item.form() {
        Form::Text(text) => address(item, &text, problems).map(ListenSpec::plain),
        Form::Map => {
            let mut raw: RawListen = open(item, LONG_FORM, problems)?;
            let address = required(field!(raw.address, item), "address", item, "`address: 443`", problems)
                .and_then(|at| text(&at, problems).and_then(|text| address(&at, &text, problems)));
            let tls = match field!(raw.tls, item) {
                Some(item) => tls(&item, files, problems).map(Some),
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
        // An IPv4 address written as one of IPv6 (RFC 4291, section 2.5.5.2) is what it stands for.
        Ok(address) => Some(ListenAddress::Address(SocketAddr::new(address.ip().to_canonical(), address.port()))),
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

fn tls(item: &Item, files: PemFiles<'_>, problems: &mut Problems) -> Option<TlsSpec> {
    if matches!(item.form(), Form::List(_)) {
        return Some(TlsSpec { certificates: certificates(item, files, problems)?, min: TlsVersion::Tls12 });
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
            certificates(&several, files, problems)
        }
        None => pair(certificate, key, item, 0, files, problems).map(|pair| vec![pair]),
    };
    Some(TlsSpec { certificates: certificates?, min: min? })
}

fn certificates(item: &Item, files: PemFiles<'_>, problems: &mut Problems) -> Option<Vec<CertificateSpec>> {
    let items = one_or_many(item);
    if items.is_empty() {
        let problem = Problem::new(&item.place, "this list is empty");
        return problems.add(problem.help(format!("write {TLS_FORMS}")));
    }
    let read = |(index, item): (usize, &Item)| {
        let mut raw: RawCertificate = open(item, TLS_FORMS, problems)?;
        pair(field!(raw.certificate, item), field!(raw.key, item), item, index, files, problems)
    };
    all(items.iter().enumerate().map(read).collect())
}

fn pair(
    certificate: Option<Item>,
    key: Option<Item>,
    of: &Item,
    index: usize,
    files: PemFiles<'_>,
    problems: &mut Problems,
) -> Option<CertificateSpec> {
    let certificate = required(certificate, "certificate", of, "`certificate: fullchain.pem`", problems);
    let key = required(key, "key", of, "`key: key.pem`", problems);
    let mut file = |item: Item| Some((file(&item, files.folder, problems)?, item.place));
    let (certificate, key) = (certificate.and_then(&mut file), key.and_then(&mut file));
    let ((certificate, certificate_place), (key, key_place)) = (certificate?, key?);
    let spec = CertificateSpec { certificate, key };
    let place = |fault: &CertificateFault| match fault.part {
        CertificatePart::Certificate => &certificate_place,
        CertificatePart::Key => &key_place,
    };
    match (files.prove)(&spec, index) {
        Ok(doubts) => {
            for doubt in doubts {
                problems.warn(Problem::told(place(&doubt), &doubt.text));
            }
            Some(spec)
        }
        Err(fault) => problems.add(Problem::told(place(&fault), &fault.text)),
    }
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
