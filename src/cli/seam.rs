//! STUB, to be replaced when the branches meet: what the commands call below `cli`. Each body is one call.

use std::path::Path;

use anyhow::bail;

use crate::reload::Loaded;

/// `config::load(file, env)` with its report rendered (`Report::render(colour)`), and its warnings printed.
pub(super) fn load(file: &Path, _colour: bool) -> Result<Loaded, String> {
    Err(format!("error: {} cannot be read: this build has no configuration reader", file.display()))
}

/// `config::schema()`: the JSON Schema of the file.
pub(super) fn schema() -> String {
    "{}\n".to_owned()
}

/// `server::run(file, loaded)`: runs until a signal ends it.
pub(super) fn run(_file: &Path, _loaded: Loaded) -> anyhow::Result<()> {
    bail!("this build has no server")
}

/// `demo`: the edge with its sample backends; prints its address and commands to try.
pub(super) fn demo() -> anyhow::Result<()> {
    bail!("this build has no demo")
}
