//! Measures Remora beside other proxies. `remora-bench run` is the suite; the other commands are its own parts, started
//! by it as processes of their own so that they can be pinned.

mod account;
mod chart;
mod client;
mod isolate;
mod load;
mod origin;
mod peer;
mod process;
mod report;
mod results;
mod run;
mod scenario;
mod settings;
mod start;
mod stats;
mod turns;

use std::process::ExitCode;

use anyhow::{Context, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("remora-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(arguments: &[String]) -> anyhow::Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["run"] => run::suite(&settings::Settings::from_env()?),
        ["quick"] => run::quick(&settings::Settings::from_env()?),
        ["isolated", how, name] => run::isolated(how, name, &settings::Settings::from_env()?),
        ["origin", address, first, count] => origin::run(address.parse()?, number(first)?, number(count)?),
        ["load", kind, port, seconds, count] => client::run(kind, number(port)?, number(seconds)?, number(count)?),
        _ => bail!(
            "usage: remora-bench run | quick | isolated run|quick SCENARIO | origin ADDRESS FIRST_PORT COUNT | load KIND PORT SECONDS COUNT"
        ),
    }
}

fn number<N: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str) -> anyhow::Result<N> {
    text.parse().with_context(|| format!("`{text}` is no number here"))
}
