//! `remora demo`

use super::{Exit, seam};

pub(super) fn run() -> anyhow::Result<Exit> {
    seam::demo()?;
    Ok(Exit::Done)
}
