//! A certificate and its key: read from PEM files and proved to be fit for use.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use rustls::Error;
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use crate::certificate_reader;
use crate::config::model::{CertificatePart, CertificateSpec};

/// Host names that are shown before the rest is only counted.
const NAMES_SHOWN: usize = 3;

/// Why TLS cannot be spoken with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {part} {}: {why}", .file.display())]
    Unreadable {
        /// Which of the two.
        part: CertificatePart,
        /// Where.
        file: PathBuf,
        /// Why, and what to do where that is known.
        why: String,
    },
    /// There is no certificate in the file.
    #[error("no certificate in {}; it must be a PEM file with `-----BEGIN CERTIFICATE-----`", .0.display())]
    NoCertificate(PathBuf),
    /// The text of a file is not sound PEM, or what is in it is not such a certificate as is used today.
    #[error("cannot use the {part} {}: {why}", .file.display())]
    Unusable {
        /// Which of the two.
        part: CertificatePart,
        /// Where.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no key in the file.
    #[error("no private key in {}; it must be a PEM file with `-----BEGIN PRIVATE KEY-----`", .0.display())]
    NoKey(PathBuf),
    /// The key has a passphrase.
    #[error("the key {} has a passphrase; remove it: `openssl pkey -in key.pem -out plain.pem`", .0.display())]
    EncryptedKey(PathBuf),
    /// The key is of a kind that is not spoken here, or what is in the file is no key.
    #[error(
        "the key {} is not supported; it must be RSA of 2048 to 4096 bits, ECDSA with P-256 or P-384, or Ed25519",
        .0.display()
    )]
    UnsupportedKey(PathBuf),
    /// Certificate and key are not of each other.
    #[error(
        "the key {} does not match the first certificate in {}; give the two that belong together, and put the \
         server's own certificate first in its file",
        .key.display(), .certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A new certificate that has expired already; the old one has not.
    #[error("the certificate {} expired on {until}", .file.display())]
    Expired {
        /// Where.
        file: PathBuf,
        /// When.
        until: Moment,
    },
    /// A new certificate that is not valid yet; the old one is.
    #[error("the certificate {} is not valid before {from}; check the clock", .file.display())]
    NotYetValid {
        /// Where.
        file: PathBuf,
        /// From when.
        from: Moment,
    },
    /// The system gives no random numbers, or TLS has no version in common with itself.
    #[error("cannot set up TLS")]
    Setup(#[source] Error),
}

impl TlsError {
    /// The file that it is about.
    pub(super) fn part(&self) -> CertificatePart {
        match self {
            Self::Unreadable { part, .. } | Self::Unusable { part, .. } => *part,
            Self::NoKey(_) | Self::EncryptedKey(_) | Self::UnsupportedKey(_) | Self::Mismatch { .. } => {
                CertificatePart::Key
            }
            Self::NoCertificate(_) | Self::Expired { .. } | Self::NotYetValid { .. } | Self::Setup(_) => {
                CertificatePart::Certificate
            }
        }
    }
}

/// A moment, written to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(DateTime<Utc>);

impl Moment {
    fn of(time: ASN1Time) -> Self {
        Self(DateTime::from_timestamp(time.timestamp(), 0).unwrap_or_default())
    }

    /// Days from `now` on; negative where it is past.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand years of seconds are exact")]
    pub fn days_after(self, now: SystemTime) -> f64 {
        (self.0 - DateTime::<Utc>::from(now)).num_seconds() as f64 / 86_400.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d %H:%M UTC"))
    }
}

/// What the two files hold.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    pub(super) fn read(spec: &CertificateSpec) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(CertificatePart::Certificate, &spec.certificate)?,
            key: read(CertificatePart::Key, &spec.key)?,
        })
    }

    /// Equal for equal files.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.key).hash(&mut hasher);
        hasher.finish()
    }
}

fn read(part: CertificatePart, file: &Path) -> Result<Vec<u8>, TlsError> {
    certificate_reader::read(file).map_err(|why| TlsError::Unreadable {
        part,
        file: file.to_owned(),
        why: why.to_string(),
    })
}

/// A certificate that can be shown to clients, and for whom and how long.
pub(super) struct Pair {
    pub key: Arc<CertifiedKey>,
    /// The DNS names of the certificate (RFC 5280, section 4.2.1.6) in lower case, `*.example.com` too.
    pub names: Vec<String>,
    pub valid_from: Moment,
    pub valid_until: Moment,
}

impl Pair {
    /// Proves that the key is of the certificate, and reads what the certificate says.
    pub(super) fn parse(contents: &Contents, spec: &CertificateSpec) -> Result<Self, TlsError> {
        let chain = chain(&contents.certificate, &spec.certificate)?;
        let unusable = |why: String| TlsError::Unusable {
            part: CertificatePart::Certificate,
            file: spec.certificate.clone(),
            why,
        };
        let own = chain.first().ok_or_else(|| TlsError::NoCertificate(spec.certificate.clone()))?.clone();
        let (_, parsed) =
            parse_x509_certificate(&own).map_err(|error| unusable(format!("{error}; export it again in PEM form")))?;
        if parsed.version() != X509Version::V3 {
            let version = parsed.version().0 + 1;
            let why =
                format!("it has X.509 version {version}; create one of version 3, with its hosts as subjectAltName");
            return Err(unusable(why));
        }
        let key = certified(chain, private_key(&contents.key, &spec.key)?, spec)?;
        let alternative = parsed.subject_alternative_name().map_err(|error| unusable(error.to_string()))?;
        let alternative = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let names = alternative.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let names = names.collect();
        let (valid_from, valid_until) =
            (Moment::of(parsed.validity().not_before), Moment::of(parsed.validity().not_after));
        Ok(Self { key: Arc::new(key), names, valid_from, valid_until })
    }

    /// Clients believe it from its first moment to its last.
    pub(super) fn check_time(&self, spec: &CertificateSpec, now: DateTime<Utc>) -> Result<(), TlsError> {
        let file = || spec.certificate.clone();
        if self.valid_until.0 < now {
            return Err(TlsError::Expired { file: file(), until: self.valid_until });
        }
        if now < self.valid_from.0 {
            return Err(TlsError::NotYetValid { file: file(), from: self.valid_from });
        }
        Ok(())
    }

    /// `a.example, b.example and 4 more`.
    pub(super) fn shown_names(&self) -> String {
        match self.names.len() {
            0 => "no host name".into(),
            count if count <= NAMES_SHOWN => self.names.join(", "),
            count => format!("{} and {} more", self.names[..NAMES_SHOWN].join(", "), count - NAMES_SHOWN),
        }
    }
}

/// Proves that the key is that of the first certificate.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    spec: &CertificateSpec,
) -> Result<CertifiedKey, TlsError> {
    let provider = ring::default_provider().key_provider;
    let key = provider.load_private_key(key).map_err(|_| TlsError::UnsupportedKey(spec.key.clone()))?;
    let key = CertifiedKey::new(chain, key);
    let CertificateSpec { certificate, key: key_file } = spec.clone();
    match key.keys_match() {
        Ok(()) => Ok(key),
        Err(Error::InconsistentKeys(_)) => Err(TlsError::Mismatch { certificate, key: key_file }),
        Err(error) => {
            Err(TlsError::Unusable { part: CertificatePart::Certificate, file: certificate, why: error.to_string() })
        }
    }
}

fn chain(text: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| unusable(CertificatePart::Certificate, file, &error))?;
    if chain.is_empty() { Err(TlsError::NoCertificate(file.to_owned())) } else { Ok(chain) }
}

fn private_key(text: &[u8], file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let has = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    if has(b"ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::EncryptedKey(file.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey(file.to_owned()),
        error => unusable(CertificatePart::Key, file, &error),
    })
}

fn unusable(part: CertificatePart, file: &Path, error: &pem::Error) -> TlsError {
    TlsError::Unusable { part, file: file.to_owned(), why: format!("{error}; export it again in PEM form") }
}
