//! Which file is meant when none is named.

use std::path::{Path, PathBuf};

use crate::config::model::Config;
use crate::config::{self, Prove};
use crate::front::tls;
use crate::heal::journal_doubt;
use crate::reload::{FileLoader, LoadedConfig};

use super::terminal;

/// Where the file is in an image, then in a checkout.
const USUAL: [&str; 2] = ["/etc/remora/remora.yaml", "conf/remora.yaml"];

/// None was named and none of the usual ones exists.
#[derive(Debug, thiserror::Error)]
#[error("there is no {0}; give a file, for example: remora run remora.yaml")]
pub(super) struct NoFile(pub(super) String);

/// The file named, else the first of the usual ones that exists.
pub(super) fn choose(named: Option<&Path>) -> Result<PathBuf, NoFile> {
    choose_among(named, &USUAL)
}

/// Reads a file and prints its warnings.
///
/// # Errors
/// With the whole report, for a person to read.
pub(super) fn load(loader: &FileLoader) -> Result<LoadedConfig, String> {
    load_proving(loader, &config::unproven)
}

/// The same for a process that will listen: with a look into the files of certificates.
///
/// # Errors
/// As [`load`].
pub(super) fn load_with_certificates(loader: &FileLoader) -> Result<LoadedConfig, String> {
    load_proving(loader, &tls::prove)
}

/// What a process that runs this file would do without, on this machine.
pub(super) fn doubts(config: &Config) -> Option<String> {
    journal_doubt(&config.process.journal)
}

fn load_proving(loader: &FileLoader, prove: Prove<'_>) -> Result<LoadedConfig, String> {
    let colour = terminal::stderr_has_colour();
    let (loaded, warnings) = loader.read_proving(prove).map_err(|report| report.render(colour))?;
    for warning in warnings {
        terminal::complain(&warning.to_string());
    }
    Ok(loaded)
}

fn choose_among(named: Option<&Path>, usual: &[&str]) -> Result<PathBuf, NoFile> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    // One that cannot be looked for, in a folder that may not be entered, is not passed over: reading it says why.
    match usual.iter().map(Path::new).find(|path| path.try_exists().unwrap_or(true)) {
        Some(found) => Ok(found.to_owned()),
        None => Err(NoFile(usual.join(" and no "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_exists_is_meant_and_both_are_named_when_none_does() {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(choose_among(None, &["/nowhere/a.yaml", here]).unwrap(), Path::new(here));
        assert_eq!(choose_among(Some(Path::new("x.yaml")), &[here]).unwrap(), Path::new("x.yaml"));
        let message = choose_among(None, &["/nowhere/a.yaml", "/nowhere/b.yaml"]).unwrap_err().to_string();
        assert!(message.starts_with("there is no /nowhere/a.yaml and no /nowhere/b.yaml"), "{message}");
    }
}
