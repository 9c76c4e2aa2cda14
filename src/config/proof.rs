//! What is said of a certificate's files by whoever can read them: `config` itself only names them.

use super::model::{CertificatePart, CertificateSpec};

/// Looks into the files of a certificate, which is the one of this index on its listener: what is doubtful about it, or why
/// it cannot be used.
pub type Prove<'p> = &'p dyn Fn(&CertificateSpec, usize) -> Result<Vec<CertificateFault>, CertificateFault>;

/// What is wrong with one of the two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFault {
    /// The file.
    pub part: CertificatePart,
    /// What is wrong, and after the last semicolon what to do.
    pub text: String,
}

/// Takes every certificate for good, where nothing of it is used.
///
/// # Errors
/// Never.
pub fn unproven(_: &CertificateSpec, _: usize) -> Result<Vec<CertificateFault>, CertificateFault> {
    Ok(Vec::new())
}
