//! `remora completions SHELL`

use clap_complete::Shell;

use super::exit::Exit;
use super::terminal;

/// Print completions for a shell, made from the same definitions as this help.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora completions bash > /usr/share/bash-completion/completions/remora
  remora completions zsh > /usr/local/share/zsh/site-functions/_remora
  remora completions fish > ~/.config/fish/completions/remora.fish")]
pub(super) struct CompletionsArguments {
    /// Shell
    shell: Shell,
}

pub(super) fn run(arguments: &CompletionsArguments, mut grammar: clap::Command) -> anyhow::Result<Exit> {
    // Into memory first: a reader that has gone away is no failure.
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut grammar, "remora", &mut text);
    terminal::say(String::from_utf8_lossy(&text).trim_end())?;
    Ok(Exit::Done)
}
