//! A network namespace of its own for a scenario, with backends at addresses of their own on its `lo`.
//!
//! Over 127/8 Linux takes a port again a second after its connection was closed (`tcp_tw_reuse`), so a proxy that opens a
//! connection for every request never runs out of them. Towards any other address it waits a minute, as it would on a network.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::process::kept;
use crate::scenario::Scenario;

/// Where nobody's network is: set aside for measurements by RFC 2544.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// How long Linux keeps a connection in TIME_WAIT, and some.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(70);
/// What a proxy's checks leave there all the time.
const FEW: usize = 100;
/// TIME_WAIT in /proc/net/tcp.
const STATE: &str = "06";

/// The address of the `number`th proxy's backend.
pub fn host(number: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST.to_bits() + u32::from(number))
}

/// Why there can be no namespace here, for the reader.
pub fn hindrance() -> Option<String> {
    let tried = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    let why = match tried {
        Ok(output) if output.status.success() => return None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Some(format!("needs a network namespace of its own, which takes root, `unshare` and `ip`: {why}"))
}

/// Runs a scenario again inside of a namespace, and waits until it is through. `how` is `run` or `quick`.
pub fn again(scenario: &Scenario, how: &str) -> anyhow::Result<()> {
    let mut command = kept(None, "unshare".as_ref());
    command.arg("--net").arg(std::env::current_exe()?).args(["isolated", how, scenario.name]);
    let status = command.status().context("unshare")?;
    ensure!(status.success(), "{}: not run in its namespace: {status}", scenario.name);
    Ok(())
}

/// Sets the namespace up that this process is in, with the addresses of `count` proxies' backends.
pub fn furnish(count: u16) -> anyhow::Result<()> {
    // The machine's own `lo` is left alone.
    let outside = fs::read_link(format!("/proc/{}/ns/net", std::os::unix::process::parent_id()))?;
    ensure!(fs::read_link("/proc/self/ns/net")? != outside, "this is not a namespace of its own");
    ip(&["link", "set", "lo", "up"])?;
    (0..count).try_for_each(|number| ip(&["address", "add", &format!("{}/32", host(number)), "dev", "lo"]))
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip")?;
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Connections to an address that were closed on this side and may not be made again yet.
pub fn time_waits(host: Ipv4Addr) -> usize {
    fs::read_to_string("/proc/self/net/tcp").map_or(0, |text| waiting(&text, host))
}

fn waiting(text: &str, host: Ipv4Addr) -> usize {
    // The kernel shows the address as the number that its bytes are in memory.
    let remote = format!("{:08X}:", u32::from_ne_bytes(host.octets()));
    let ports = |line: &str| -> Option<bool> {
        let fields: Vec<&str> = line.split_whitespace().take(4).collect();
        let port = |at: usize| u16::from_str_radix(fields.get(at)?.split_once(':')?.1, 16).ok();
        // A client's port comes from the upper range, a backend's from below it.
        Some(fields.get(3)? == &STATE && fields.get(2)?.starts_with(&remote) && port(2)? < port(1)?)
    };
    text.lines().filter(|line| ports(line).unwrap_or(false)).count()
}

/// Waits until a proxy may use every port again, so that a turn does not begin with what the one before it used up.
pub fn rest(host: Ipv4Addr) {
    let start = Instant::now();
    while FEW < time_waits(host) && start.elapsed() < FORGOTTEN_WITHIN {
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_proxys_side_of_a_closed_connection_counts() {
        let address = format!("{:08X}", u32::from_ne_bytes(host(0).octets()));
        let other = format!("{:08X}", u32::from_ne_bytes(host(1).octets()));
        #[rustfmt::skip]
        let rows = [
            (format!("0: {address}:9000 {address}:4E20 06 00"), 1),
            (format!("1: {address}:4E20 {address}:9000 06 00"), 0),
            (format!("2: {address}:9000 {address}:4E20 01 00"), 0),
            (format!("3: {other}:9000 {other}:4E20 06 00"), 0),
            ("sl  local_address rem_address   st".to_owned(), 0),
        ];
        for (line, count) in rows {
            assert_eq!(waiting(&line, host(0)), count, "{line}");
        }
    }
}
