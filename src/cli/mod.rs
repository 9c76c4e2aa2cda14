//! What was typed, and which command that is. One file a command; the work itself is done elsewhere.

mod as_user;
mod certificate_reader;
mod check;
mod client;
mod completions;
mod demo;
mod doctor;
mod drill;
mod exit;
mod file;
mod heal;
mod history;
mod man;
mod own_name;
mod reload;
mod report;
mod rollback;
mod run;
mod sidecar;
mod status;
mod terminal;
mod view;

use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::telemetry;

pub use exit::Exit;

/// An edge proxy for Docker Compose stacks: it routes, balances, checks and heals backends.
#[derive(Debug, Parser)]
#[command(
    name = "remora",
    version,
    max_term_width = 100,
    after_help = "Examples:
  remora demo                    # see it work, without a file
  remora check remora.yaml       # what is wrong with a file
  remora run remora.yaml
  remora status --watch

Each command has its own: remora status --help"
)]
struct Arguments {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the edge.
    Run(run::RunArguments),
    /// Validate a configuration file and list every problem, without running it.
    Check(check::CheckArguments),
    /// Check whether every heal step would work in the containers that exist now. Changes nothing.
    Doctor(doctor::DoctorArguments),
    /// Run the edge with sample backends in one process; no file, no Docker.
    Demo(demo::DemoArguments),
    /// Reload the running edge's configuration, or the replicas of an upstream one by one.
    Reload(reload::ReloadArguments),
    /// List the last reloads of the running edge, and what each changed.
    History(history::HistoryArguments),
    /// Bring an earlier configuration back.
    Rollback(rollback::RollbackArguments),
    /// Heal backends now, or pause healing.
    Heal(heal::HealArguments),
    /// Simulate a failing backend, and show how it is detected and healed.
    Drill(drill::DrillArguments),
    /// Show routes, upstreams, backends and heals of the running edge.
    Status(status::StatusArguments),
    /// Write a report to send with a question: status, events, configuration without secrets, versions.
    Report(report::ReportArguments),
    /// Run the privileged healing helper: it holds the Docker socket and runs only the heals in the file.
    Sidecar(sidecar::SidecarArguments),
    /// Read certificates and keys that only root can read, for an edge that is not root. The image starts it.
    CertificateReader(certificate_reader::CertificateReaderArguments),
    /// Print completions for a shell.
    Completions(completions::CompletionsArguments),
    /// Print the manual page.
    Man(man::ManArguments),
}

/// Runs the command that was typed.
pub fn main() -> Exit {
    let exit = match Arguments::try_parse() {
        Ok(arguments) => dispatch(arguments.command),
        Err(answer) => {
            let _ = answer.print();
            // `--help` and `--version` are answers too.
            if answer.use_stderr() { Exit::Usage } else { Exit::Done }
        }
    };
    telemetry::log::flush(Duration::from_millis(500));
    exit
}

fn dispatch(command: CliCommand) -> Exit {
    let done = match command {
        CliCommand::Run(arguments) => run::run(&arguments),
        CliCommand::Check(arguments) => check::run(&arguments),
        CliCommand::Demo(arguments) => demo::run(&arguments),
        CliCommand::Doctor(arguments) => doctor::run(&arguments),
        CliCommand::Reload(arguments) => reload::run(&arguments),
        CliCommand::History(arguments) => history::run(&arguments),
        CliCommand::Rollback(arguments) => rollback::run(&arguments),
        CliCommand::Heal(arguments) => heal::run(&arguments),
        CliCommand::Drill(arguments) => drill::run(&arguments),
        CliCommand::Status(arguments) => status::run(&arguments),
        CliCommand::Report(arguments) => report::run(&arguments),
        CliCommand::Sidecar(arguments) => sidecar::run(&arguments),
        CliCommand::CertificateReader(arguments) => certificate_reader::run(&arguments),
        CliCommand::Completions(arguments) => completions::run(&arguments, Arguments::command()),
        CliCommand::Man(arguments) => man::run(&arguments, Arguments::command()),
    };
    done.unwrap_or_else(|error| {
        terminal::complain(&format!("remora: {error:#}"));
        exit_of(&error)
    })
}

/// What a failure means to a script, where it is more than a failure.
fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<file::NoFile>() || error.is::<sidecar::NotConfigured>() {
        return Exit::Refused;
    }
    match error.downcast_ref() {
        Some(client::ClientError::BadVariable(_)) => Exit::Usage,
        Some(_) | None => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn commands_are_understood() {
        #[rustfmt::skip]
        let rows: [(&[&str], bool); 33] = [
            (&["run"],                                  true),
            (&["run", "remora.yaml"],                   true),
            (&["check", "remora.yaml"],                 true),
            (&["check", "--schema"],                    true),
            (&["check", "-"],                           true),
            (&["demo"],                                 true),
            (&["demo", "--listen", "0.0.0.0:8080"],     true),
            (&["demo", "--listen", "localhost:8080"],   false),
            (&["completions", "bash"],                  true),
            (&["completions", "cmd"],                   false),
            (&["man", "--to", "man1"],                  true),
            (&["doctor", "remora.yaml", "--json"],      true),
            (&["reload"],                               true),
            (&["reload", "--admin", "127.0.0.1:9902"],  true),
            (&["history", "--json"],                    true),
            (&["rollback"],                             true),
            (&["rollback", "7", "--json"],              true),
            (&["rollback", "last"],                     false),
            (&["sidecar", "f.yaml", "--state", "/x"],   true),
            (&["sidecar", "--status"],                  true),
            (&["sidecar", "--status", "--state", "x"],  false),
            (&["certificate-reader"],                   false),
            (&["certificate-reader", "--for", "1:1"],   true),
            (&["certificate-reader", "--for", "root"],  false),
            (&["status", "--json"],                     true),
            (&["status", "--watch"],                    true),
            (&["status", "--json", "--watch"],          false),
            (&["status", "--admin", "nowhere"],         false),
            (&["report", "-o", "report.md"],            true),
            (&["report", "f.yaml", "--admin", "[::1]:1"], true),
            (&["stop"],                                 false),
            (&["run", "a", "b"],                        false),
            (&[],                                       false),
        ];
        for (typed, understood) in rows {
            let parsed = Arguments::try_parse_from(std::iter::once(&"remora").chain(typed));
            assert_eq!(parsed.is_ok(), understood, "{typed:?}");
            assert!(parsed.err().is_none_or(|error| error.use_stderr()), "{typed:?}");
        }
    }

    /// The commands of the examples in a help, without comments and redirections.
    fn examples(command: &clap::Command) -> Vec<String> {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = help.lines().filter_map(|line| line.strip_prefix("  remora"));
        lines.map(|line| line.split(['#', '>', '<', '|']).next().unwrap().trim().to_owned()).collect()
    }

    #[test]
    fn every_command_has_examples_that_are_understood() {
        fn walk(command: &clap::Command, seen: &mut usize) {
            let shown = examples(command);
            assert!(!shown.is_empty(), "{} has no example", command.get_name());
            for example in shown {
                let typed = shlex::split(&example).unwrap();
                let parsed = Arguments::try_parse_from(std::iter::once("remora".to_owned()).chain(typed));
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
                *seen += 1;
            }
            command
                .get_subcommands()
                .filter(|command| command.get_name() != "help")
                .for_each(|below| walk(below, seen));
        }
        let mut seen = 0;
        walk(&Arguments::command(), &mut seen);
        assert!(20 <= seen, "only {seen} examples");
    }

    #[test]
    fn completions_and_manual_pages_know_every_command() {
        let mut bash = Vec::new();
        clap_complete::generate(clap_complete::Shell::Bash, &mut Arguments::command(), "remora", &mut bash);
        let folder = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Arguments::command(), folder.path()).unwrap();
        let (mut seen, bash) = (0, String::from_utf8(bash).unwrap());
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            let page = std::fs::read_to_string(folder.path().join(format!("remora-{name}.1"))).unwrap();
            assert!(page.contains("Examples:"), "{name}: {page}");
            assert!(bash.contains(&format!("remora,{name})")), "{name}");
            seen += 1;
        }
        assert!(10 <= seen, "only {seen} commands");
    }

    #[test]
    fn failures_have_their_numbers() {
        let address = "127.0.0.1:9901".parse().unwrap();
        let rows = [
            (anyhow::Error::from(client::ClientError::BadVariable("x".to_owned())), Exit::Usage),
            (client::ClientError::NotRunning(address).into(), Exit::Failed),
            (file::NoFile("a".to_owned()).into(), Exit::Refused),
            (sidecar::NotConfigured("a".to_owned()).into(), Exit::Refused),
            (anyhow::anyhow!("anything else"), Exit::Failed),
        ];
        for (error, exit) in rows {
            assert_eq!(exit_of(&error), exit, "{error}");
        }
    }

    #[test]
    fn help_and_version_are_answers() {
        for typed in ["--help", "--version", "help"] {
            assert!(!Arguments::try_parse_from(["remora", typed]).unwrap_err().use_stderr(), "{typed}");
        }
    }
}
