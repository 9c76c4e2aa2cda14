//! The certificates of a listener: chosen by the name a client asks for, and read again when their files change.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use chrono::Utc;
use parking_lot::Mutex;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::{MissedTickBehavior, interval};

use crate::certificate_reader;
use crate::config::CertificateFault;
use crate::config::model::{CertificatePart, CertificateSpec};

use super::pair::{Contents, Moment, Pair, TlsError};

/// How often the files are looked at. Certificates are renewed weeks before they expire.
const POLL: Duration = Duration::from_secs(10);

/// Every certificate of a listener. Handshakes take the current ones without waiting for whoever replaces them.
pub struct Certificates {
    current: ArcSwap<Choice>,
    loaded: Mutex<Vec<Loaded>>,
    specs: Vec<CertificateSpec>,
}

/// How long a certificate in use is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// Its file.
    pub file: PathBuf,
    /// The first host names in it, and how many more.
    pub names: String,
    /// When it expires.
    pub until: Moment,
}

/// A certificate in use, and what is known of its files.
struct Loaded {
    spec: CertificateSpec,
    /// Of the contents in use.
    digest: u64,
    pair: Pair,
    /// Why newer contents were not taken, as last told.
    told: Option<String>,
}

/// Whether a refusal is logged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tell {
    Always,
    /// When it differs from what was told last.
    News,
    Never,
}

impl Certificates {
    /// Reads every pair of files, the one for clients that name no known host first.
    pub(super) fn load(specs: &[CertificateSpec]) -> Result<Self, TlsError> {
        let loaded = specs.iter().map(Loaded::first).collect::<Result<Vec<_>, _>>()?;
        for (index, entry) in loaded.iter().enumerate() {
            entry.announce(0 < index);
        }
        let current = ArcSwap::from_pointee(Choice::among(&loaded));
        Ok(Self { current, loaded: Mutex::new(loaded), specs: specs.to_vec() })
    }

    /// What is known of each certificate in use.
    pub fn expiries(&self) -> Vec<Expiry> {
        let expiry = |entry: &Loaded| Expiry {
            file: entry.spec.certificate.clone(),
            names: entry.pair.shown_names(),
            until: entry.pair.valid_until,
        };
        self.loaded.lock().iter().map(expiry).collect()
    }

    /// Reads the files again and takes what changed, for the handshakes that begin from now on; true when something did.
    /// Where new files cannot be used the old certificate stays. Every change and every refusal is logged. Blocks while it
    /// reads.
    ///
    /// # Errors
    /// With the first pair of files that cannot be used; the others are taken all the same. One that has expired is not
    /// taken while the old one has not.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.take_changes(Tell::Always)
    }

    /// Reloads whenever the files have changed, without end. It looks every 10 s. Files that cannot be used are reported
    /// when they are still so at the next look: between two writes a certificate and its key do not match.
    pub async fn watch(self: Arc<Self>) {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut refused) = (Vec::new(), false);
        loop {
            poll.tick().await;
            let this = Arc::clone(&self);
            let before = std::mem::take(&mut seen);
            let looked = tokio::task::spawn_blocking(move || {
                // The versions before the contents: what is written between the two is seen next time.
                let now = this.versions();
                let tell = if now == before { Tell::News } else { Tell::Never };
                let refused = (now != before || refused) && this.take_changes(tell).is_err();
                (now, refused)
            });
            if let Ok(found) = looked.await {
                (seen, refused) = found;
            }
        }
    }

    fn take_changes(&self, tell: Tell) -> Result<bool, TlsError> {
        let mut loaded = self.loaded.lock();
        let (mut changed, mut refused) = (false, None);
        for entry in loaded.iter_mut() {
            match entry.take_change() {
                Ok(taken) => changed |= taken,
                Err(error) => {
                    entry.complain(&error, tell);
                    refused = refused.or(Some(error));
                }
            }
        }
        if changed {
            self.current.store(Arc::new(Choice::among(&loaded)));
        }
        refused.map_or(Ok(changed), Err)
    }

    /// What tells a file from its next version without reading it.
    fn versions(&self) -> Vec<Option<FileVersion>> {
        self.specs.iter().flat_map(|spec| [version_of(&spec.certificate), version_of(&spec.key)]).collect()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.specs.iter().map(|spec| &spec.certificate)).finish()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().resolve(&hello)
    }
}

/// What differs between two versions of a file.
#[derive(Debug, PartialEq, Eq)]
enum FileVersion {
    /// Time of the last change, length and inode.
    Place(SystemTime, u64, u64),
    /// Of the contents, where the file's folder may not be entered: only the certificate reader can.
    Digest(u64),
}

fn version_of(file: &Path) -> Option<FileVersion> {
    use std::os::unix::fs::MetadataExt as _;
    match std::fs::metadata(file) {
        Ok(meta) => Some(FileVersion::Place(meta.modified().ok()?, meta.len(), meta.ino())),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let mut hasher = DefaultHasher::new();
            certificate_reader::read(file).ok()?.hash(&mut hasher);
            Some(FileVersion::Digest(hasher.finish()))
        }
        Err(_) => None,
    }
}

impl Loaded {
    fn first(spec: &CertificateSpec) -> Result<Self, TlsError> {
        let contents = Contents::read(spec)?;
        let pair = Pair::parse(&contents, spec)?;
        Ok(Self { spec: spec.clone(), digest: contents.digest(), pair, told: None })
    }

    /// Takes the files as they are now; false when they are those in use.
    fn take_change(&mut self) -> Result<bool, TlsError> {
        let contents = Contents::read(&self.spec)?;
        let digest = contents.digest();
        if digest == self.digest {
            self.told = None;
            return Ok(false);
        }
        let pair = Pair::parse(&contents, &self.spec)?;
        let now = Utc::now();
        if self.pair.check_time(&self.spec, now).is_ok() {
            pair.check_time(&self.spec, now)?;
        }
        *self = Self { spec: self.spec.clone(), digest, pair, told: None };
        log::info!("certificate renewed, valid until {}: {}", self.pair.valid_until, self.spec.certificate.display());
        self.warn_of_time();
        Ok(true)
    }

    fn announce(&self, needs_name: bool) {
        let Pair { valid_until, .. } = self.pair;
        let file = self.spec.certificate.display();
        log::info!("certificate {file} for {}, valid until {valid_until}", self.pair.shown_names());
        self.warn_of_time();
        if needs_name && let Some(text) = self.is_never_used() {
            log::warn!("{text}");
        }
    }

    /// Said of one that is not the first and names no host.
    fn is_never_used(&self) -> Option<String> {
        let file = self.spec.certificate.display();
        let said = || format!("certificate {file} names no host, so it is never used; put it first or remove it");
        self.pair.names.is_empty().then(said)
    }

    fn warn_of_time(&self) {
        if let Err(error) = self.pair.check_time(&self.spec, Utc::now()) {
            log::warn!("{error}; clients will not trust it");
        }
    }

    fn complain(&mut self, error: &TlsError, tell: Tell) {
        let text = error.to_string();
        let told = match tell {
            Tell::Always => true,
            Tell::News => self.told.as_ref() != Some(&text),
            Tell::Never => false,
        };
        if told {
            log::warn!("certificate not loaded: {text}; the old one stays in use");
            self.told = Some(text);
        }
    }
}

/// Reads a certificate and its key as a listener does that starts with them: what a start would warn of, or why it would
/// fail. `index` is its place among those of its listener.
///
/// # Errors
/// When the two cannot be used.
pub fn prove(spec: &CertificateSpec, index: usize) -> Result<Vec<CertificateFault>, CertificateFault> {
    let fault = |error: &TlsError| CertificateFault { part: error.part(), text: error.to_string() };
    let loaded = Loaded::first(spec).map_err(|error| fault(&error))?;
    let mut doubts = Vec::new();
    match loaded.pair.check_time(spec, Utc::now()) {
        Ok(()) => {}
        Err(error @ TlsError::Expired { .. }) => {
            let text = format!("{error}, and clients will not trust it; renew it");
            doubts.push(CertificateFault { part: CertificatePart::Certificate, text });
        }
        Err(error) => doubts.push(fault(&error)),
    }
    if index != 0
        && let Some(text) = loaded.is_never_used()
    {
        doubts.push(CertificateFault { part: CertificatePart::Certificate, text });
    }
    Ok(doubts)
}

/// Which certificate a client is shown.
struct Choice {
    /// By whole name.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what follows the `*.`, which stands for one label (RFC 9525, section 6.3).
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For clients that name no host, or none of these.
    all: Vec<Arc<CertifiedKey>>,
}

impl Choice {
    fn among(loaded: &[Loaded]) -> Self {
        let mut choice = Self { exact: HashMap::new(), wildcard: HashMap::new(), all: Vec::new() };
        for Loaded { pair, .. } in loaded {
            choice.all.push(Arc::clone(&pair.key));
            for name in &pair.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut choice.wildcard, parent),
                    None => (&mut choice.exact, name.as_str()),
                };
                names.entry(name.to_owned()).or_default().push(Arc::clone(&pair.key));
            }
        }
        choice
    }

    /// rustls gives names in lower case.
    fn resolve(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| {
            let parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
            self.exact.get(name).or_else(parent)
        });
        let candidates = named.unwrap_or(&self.all);
        let suits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        match candidates.as_slice() {
            [only] => Some(Arc::clone(only)),
            // One host may have an ECDSA and an RSA certificate.
            several => several.iter().find(suits).or(several.first()).cloned(),
        }
    }
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
