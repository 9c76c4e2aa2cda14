//! `docker/` and the presets against a real daemon with real Gunicorn, PM2 and systemd; and against daemons that misbehave.
//!
//! Those that need Docker are ignored by default; `make test` runs them after `make images`.

#![expect(unreachable_pub, reason = "a test program is nobody's library")]

#[cfg(test)]
mod bench;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod events;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod find;
#[cfg(test)]
mod guarded;
#[cfg(test)]
mod gunicorn;
#[cfg(test)]
mod healer;
#[cfg(test)]
mod ladders;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod others;
#[cfg(test)]
mod root_keys;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod sidecar;
#[cfg(test)]
mod supervisor;
#[cfg(test)]
mod uvicorn;
