//! Black-box tests: the real executable in front of real sockets. Each test is a few lines and a claim.

mod balance;
mod bodies;
mod cli;
mod cors;
mod failures;
mod harness;
mod heads;
mod health;
mod reload;
mod routes;
mod signals;
mod streams;
