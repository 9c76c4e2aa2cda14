//! Whoever asks for the file to be read again wants the certificates read again too.

use std::sync::Arc;

use crate::config::KeptFiles;
use crate::front::tls::Certificates;
use crate::reload::{LoadConfig, LoadedConfig, Rejected};

/// Reads the file, and before it the certificates of all listeners.
pub(super) struct Renewing {
    pub loader: Box<dyn LoadConfig>,
    pub certificates: Vec<Arc<Certificates>>,
}

impl LoadConfig for Renewing {
    fn load(&self) -> Result<LoadedConfig, Rejected> {
        for certificates in &self.certificates {
            // One that cannot be used is logged there, and the old one stays.
            let _ = certificates.reload();
        }
        self.loader.load()
    }

    fn load_kept(&self, kept: &KeptFiles) -> Result<LoadedConfig, Rejected> {
        self.loader.load_kept(kept)
    }
}
