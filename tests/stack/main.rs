//! End to end in real Docker, on the manager stacks as a user starts them; `STACK=whole` or `split` runs one of them. `make test` builds the images and runs this.
//!
//! One test, because each stack is one: each scenario is a function that leaves the stack well. Figures are printed.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test fails by panicking, prints its figures and may spawn"
)]

#[path = "../support/calm.rs"]
mod calm;
mod commands;
#[path = "../support/compose.rs"]
#[allow(dead_code, reason = "shared")]
mod compose;
#[path = "../support/load.rs"]
#[allow(dead_code, reason = "shared")]
mod load;
mod scenarios;
mod split;
mod stack;

use stack::{Kind, Stack};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the images: make stack"]
async fn the_manager_stacks() {
    let only = std::env::var("STACK").unwrap_or_default();
    for (name, kind) in [("whole", Kind::Whole), ("split", Kind::Split)] {
        if only.is_empty() || only == name {
            println!("--- {name}");
            pass(&Stack::up(kind, 3, 2).await).await;
        }
    }
}

/// What both stacks have to pass.
async fn pass(stack: &Stack) {
    scenarios::a_reader_of_a_tutorial_finds_everything(stack).await;
    if stack.kind == Kind::Split {
        split::nothing_is_left_to_take_over(stack).await;
        split::without_its_sidecar_the_edge_serves(stack).await;
    }
    scenarios::replicas_take_turns(stack).await;
    scenarios::frozen_gunicorn_workers_are_healed(stack).await;
    scenarios::a_hung_pm2_app_is_healed(stack).await;
    scenarios::a_killed_database_is_healed(stack).await;
    scenarios::a_killed_replica_costs_nothing_more(stack).await;
    commands::a_rolling_reload_costs_nothing(stack).await;
    commands::a_drill_shows_that_healing_works(stack).await;
    commands::a_paused_container_is_a_plan(stack).await;
    commands::replacing_every_replica_costs_nothing(stack).await;
    scenarios::scaling_costs_nothing(stack).await;
    scenarios::edits_cost_nothing(stack).await;
    commands::the_journal_and_a_pause_survive_the_edge(stack).await;
    scenarios::stopping_is_quick_and_clean(stack).await;
}
