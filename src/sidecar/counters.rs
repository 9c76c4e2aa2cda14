//! The gate and the file of its counters together: nothing is counted that is not written down, and nothing runs that is not counted.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::docker::{ContainerId, SidecarRefusal};
use crate::types::UpstreamName;

use super::counter_file::{CounterFile, CounterFileError};
use super::gate::{HealTerms, StepGate};

/// Counters that outlive their process.
#[derive(Debug)]
pub(super) struct Counters {
    gate: StepGate,
    file: CounterFile,
}

impl Counters {
    /// Opens the counters of a folder.
    pub(super) fn open(folder: &Path) -> Result<Self, CounterFileError> {
        let (file, entries) = CounterFile::open(folder)?;
        let mut gate = StepGate::default();
        entries.into_iter().for_each(|entry| gate.apply(entry));
        let mut counters = Self { gate, file };
        counters.shorten().map_err(|cause| CounterFileError::Folder { folder: folder.to_owned(), cause })?;
        Ok(counters)
    }

    pub(super) fn may_begin(
        &mut self,
        upstream: &UpstreamName,
        container: &ContainerId,
        terms: &HealTerms,
    ) -> Result<(), SidecarRefusal> {
        self.gate.may_begin(upstream, container.as_str(), terms, now())
    }

    /// Counts a step that is about to run. Waits for the disk.
    pub(super) fn begin(
        &mut self,
        upstream: &UpstreamName,
        container: &ContainerId,
        step: usize,
        terms: &HealTerms,
    ) -> Result<(), SidecarRefusal> {
        let entry = self.gate.begin(upstream, container.as_str(), step, terms, now())?;
        self.file.write(&entry).map_err(|error| {
            self.gate.end(container.as_str(), false, now());
            log::error!("cannot write the heal counters, so no step is run: {error}");
            SidecarRefusal { why: format!("cannot write its counters: {error}"), again_in: None }
        })
    }

    /// Counts the end of a step. Waits for the disk.
    pub(super) fn end(&mut self, container: &ContainerId, acted: bool) {
        let entry = self.gate.end(container.as_str(), acted, now());
        // Without this line the next process takes the step to have run up to its deadline.
        let written = self.file.write(&entry);
        let shortened = if self.file.is_long() { self.shorten() } else { Ok(()) };
        if let Err(error) = written.and(shortened) {
            log::warn!("cannot write the heal counters: {error}");
        }
    }

    /// Steps that run.
    pub(super) fn running(&self) -> usize {
        self.gate.running()
    }

    fn shorten(&mut self) -> std::io::Result<()> {
        self.file.restart(&self.gate.histories(now()))
    }
}

/// Time since 1970: what the next process can compare with.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
