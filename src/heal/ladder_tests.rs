//! Ladders whose steps help, fail, hang, are missing, or find the container in another state.

use std::sync::atomic::Ordering;

use super::super::fakes::{FakeDriver, FakeTarget, FakeWorld, container, done, heal};
use super::super::tools::AtWork;
use super::*;
use crate::docker::{ContainerName, ContainerState, DockerError};

fn steps() -> Vec<Step> {
    vec![Step::Preset(Preset::GunicornReload), Step::Preset(Preset::GunicornKillWorkers), Step::Restart]
}

fn name() -> ContainerName {
    ContainerName::parse("backend-1").unwrap()
}

fn missing() -> ExecError {
    ExecError::NotFound { command: "pkill".into(), container: name() }
}

struct Ran {
    report: LadderReport,
    performed: Vec<String>,
    journal: Arc<Journal>,
}

fn tools(driver: &Arc<FakeDriver>, journal: &Arc<Journal>) -> HealTools {
    HealTools {
        world: FakeWorld::new(vec![]),
        driver: Arc::clone(driver) as Arc<dyn ContainerDriver>,
        journal: Arc::clone(journal),
        at_work: AtWork::default(),
    }
}

/// Runs a ladder of three steps, whose results are given, on a target that comes up when `helps` is done.
async fn run(results: Vec<Result<StepDone, ExecError>>, helps: Option<&'static str>, reloaded: Option<Instant>) -> Ran {
    let target = FakeTarget::sick("backend", "10.0.0.1:80");
    let seen = Arc::clone(&target);
    let driver = Arc::new(FakeDriver::new(results, move |step| {
        assert!(seen.is_held(), "a step is run on a backend that is in rotation");
        if helps.is_some_and(|helps| step.to_string() == helps) {
            seen.set_up(true);
        }
    }));
    let ladder = Ladder {
        target: Arc::clone(&target) as Arc<dyn HealTarget>,
        container: container("backend-1"),
        spec: heal(steps()),
        asked_by: AskedBy::Policy,
        past: Past { reloaded, ..Past::default() },
        was_well: false,
    };
    let journal = Arc::<Journal>::default();
    let report = ladder.run(&tools(&driver, &journal)).await;
    assert!(!target.is_held(), "it is let back whatever came of it");
    Ran { report, performed: driver.performed(), journal }
}

#[tokio::test]
async fn the_first_step_that_makes_the_check_pass_is_the_last() {
    for (helps, count) in [("gunicorn reload", 1), ("gunicorn kill workers", 2), ("restart container", 3)] {
        let ran = run(vec![], Some(helps), None).await;
        assert_eq!((ran.report.outcome, ran.performed.len()), (LadderOutcome::Healed, count), "{helps}");
        let entry = &ran.journal.entries()[0];
        assert_eq!((entry.result, entry.steps.len()), (LadderOutcome::Healed, count));
        let (last, before) = entry.steps.split_last().unwrap();
        assert!(last.passed_after_ms.is_some() && before.iter().all(|step| step.passed_after_ms.is_none()));
    }
}

#[tokio::test]
async fn success_is_the_checks_word_not_the_commands() {
    let ran = run(vec![], None, None).await;
    assert_eq!((ran.report.outcome, ran.performed.len()), (LadderOutcome::Failed, 3));
    assert!(ran.report.acted);
    // And a command that says it failed may have helped.
    let ran = run(vec![done(1)], Some("gunicorn reload"), None).await;
    assert_eq!((ran.report.outcome, ran.performed.len()), (LadderOutcome::Healed, 1));
    assert_eq!(ran.journal.entries()[0].steps[0].outcome, "exit 1");
}

#[tokio::test]
async fn a_database_that_comes_up_is_given_its_time() {
    let target = FakeTarget::sick("database", "10.0.0.1:3306");
    let seen = Arc::clone(&target);
    let driver = Arc::new(FakeDriver::new(vec![], move |_| seen.unready.store(true, Ordering::SeqCst)));
    let ladder = Ladder {
        target,
        container: container("database-1"),
        spec: heal(steps()),
        asked_by: AskedBy::Policy,
        past: Past::default(),
        was_well: false,
    };
    let report = ladder.run(&tools(&driver, &Arc::<Journal>::default())).await;
    assert_eq!((report.outcome, driver.performed().len()), (LadderOutcome::Postponed, 1));
    assert!(report.acted);
}

#[tokio::test]
async fn missing_programs_are_skipped_without_waiting() {
    let started = Instant::now();
    let ran = run(vec![Err(missing()), Err(missing()), Err(missing())], None, None).await;
    assert_eq!((ran.report.outcome, ran.report.acted), (LadderOutcome::Unrunnable, false));
    assert!(started.elapsed() < Duration::from_millis(45), "no step was verified");
    let ran = run(vec![Err(missing())], Some("gunicorn kill workers"), None).await;
    assert_eq!((ran.report.outcome, ran.performed.len()), (LadderOutcome::Healed, 2));
    // In that container it is not tried again.
    assert_eq!(ran.report.past.unrunnable, ["gunicorn reload".to_owned()].into());
    let ladder = Ladder {
        target: FakeTarget::sick("backend", "10.0.0.1:80"),
        container: container("backend-1"),
        spec: heal(steps()),
        asked_by: AskedBy::Policy,
        past: ran.report.past,
        was_well: false,
    };
    let (driver, journal) = (Arc::new(FakeDriver::new(vec![], |_| {})), Arc::<Journal>::default());
    ladder.run(&tools(&driver, &journal)).await;
    assert_eq!(driver.performed(), ["gunicorn kill workers in backend-1", "restart container in backend-1"]);
    assert_eq!(journal.entries()[0].steps[0].result, StepResult::Skipped);
}

#[tokio::test]
async fn every_way_to_fail_has_a_word_of_its_own() {
    let container = name();
    let not_running = |state| Err(ExecError::NotRunning { container: name(), state });
    let refused = |status| Err(ExecError::Docker(DockerError::Refused { status, message: "no".into() }));
    let timed_out = ExecError::TimedOut {
        command: "sleep".into(),
        container: name(),
        limit: Duration::from_secs(1),
        output: String::new(),
    };
    let pkill = || Step::Exec(vec!["/usr/bin/pkill".into(), "-HUP".into(), "gunicorn".into()]);
    let sleep = || Step::Exec(vec!["sleep".into(), "9".into()]);
    let preset = || Step::Preset(Preset::GunicornReload);
    #[rustfmt::skip]
    let rows = [
        (sleep(),  done(0),                                                    StepResult::InVain),
        (sleep(),  done(1),                                                    StepResult::ExitCode),
        (pkill(),  done(1),                                                    StepResult::NoMatch),
        (pkill(),  done(2),                                                    StepResult::ExitCode),
        (preset(), done(3),                                                    StepResult::NoMatch),
        (preset(), done(1),                                                    StepResult::ExitCode),
        (pkill(),  Err(missing()),                                             StepResult::NotFound),
        (pkill(),  Err(ExecError::NotExecutable { command: "x".into(), container: name() }), StepResult::NotExecutable),
        (sleep(),  Err(ExecError::BadCommand("empty".into())),                 StepResult::Refused),
        (sleep(),  Err(timed_out),                                             StepResult::TimedOut),
        (sleep(),  Err(ExecError::Busy { command: "x".into(), container }),    StepResult::Busy),
        (sleep(),  not_running(ContainerState::Paused),                        StepResult::Paused),
        (sleep(),  not_running(ContainerState::Restarting),                    StepResult::Restarting),
        (sleep(),  not_running(ContainerState::Exited),                        StepResult::NotRunning),
        (sleep(),  Err(ExecError::Gone(name())),                               StepResult::Gone),
        (sleep(),  refused(403),                                               StepResult::Refused),
        (sleep(),  refused(500),                                               StepResult::NotStarted),
        (sleep(),  Err(ExecError::Docker(DockerError::Silent("x".into()))),    StepResult::Unavailable),
    ];
    for (step, result, expected) in rows {
        assert_eq!(in_vain(&step, &result), expected, "{step}: {result:?}");
    }
}

#[tokio::test]
async fn a_container_that_docker_holds_burns_no_attempt() {
    let states = [ContainerState::Paused, ContainerState::Restarting, ContainerState::Exited];
    let errors = states.map(|state| ExecError::NotRunning { container: name(), state });
    let dead = ExecError::Docker(DockerError::Silent("timed out".into()));
    for error in errors.into_iter().chain([ExecError::Gone(name()), dead]) {
        let ran = run(vec![Err(error.clone())], None, None).await;
        assert_eq!(
            (ran.report.outcome, ran.report.acted, ran.performed.len()),
            (LadderOutcome::Postponed, false, 1),
            "{error}"
        );
    }
    // After a step was run, it counts.
    let ran = run(vec![done(0), Err(ExecError::Gone(name()))], None, None).await;
    assert_eq!((ran.report.outcome, ran.report.acted), (LadderOutcome::Failed, true));
}

#[tokio::test]
async fn a_hanging_step_escalates() {
    let hung = ExecError::TimedOut {
        command: "pm2".into(),
        container: name(),
        limit: Duration::from_secs(1),
        output: String::new(),
    };
    let busy = ExecError::Busy { command: "pm2".into(), container: name() };
    let ran = run(vec![Err(hung), Err(busy)], Some("restart container"), None).await;
    assert_eq!((ran.report.outcome, ran.performed.len()), (LadderOutcome::Healed, 3));
}

#[tokio::test]
async fn a_second_reload_within_half_a_minute_is_not_sent() {
    let recently = Instant::now().checked_sub(Duration::from_secs(12));
    let ran = run(vec![], Some("gunicorn kill workers"), recently).await;
    assert_eq!(ran.performed, ["gunicorn kill workers in backend-1"]);
    assert!(ran.journal.entries()[0].steps[0].outcome.starts_with("skipped: a reload was sent 12 s ago"));
    assert_eq!(ran.report.past.reloaded, recently);

    let long_ago = Instant::now().checked_sub(Duration::from_secs(31));
    let ran = run(vec![], Some("gunicorn reload"), long_ago).await;
    assert_eq!(ran.performed, ["gunicorn reload in backend-1"]);
    assert!(ran.report.past.reloaded > long_ago);
}

#[tokio::test]
async fn requests_in_flight_are_waited_for_but_not_for_ever() {
    let target = FakeTarget::sick("backend", "10.0.0.1:80");
    target.in_flight.store(2, Ordering::SeqCst);
    let ladder = Ladder {
        target: Arc::clone(&target) as Arc<dyn HealTarget>,
        container: container("backend-1"),
        spec: HealSpec { drain: Duration::from_millis(60), ..heal(vec![Step::Restart]) },
        asked_by: AskedBy::Policy,
        past: Past::default(),
        was_well: false,
    };
    let journal = Arc::<Journal>::default();
    let busy = Arc::clone(&target);
    let driver = Arc::new(FakeDriver::new(vec![], move |_| busy.set_up(true)));
    ladder.run(&tools(&driver, &journal)).await;
    let entry = &journal.entries()[0];
    assert_eq!((entry.in_flight, entry.in_flight_after_drain), (2, 2));
    assert!((60..500).contains(&entry.drain_ms), "{} ms", entry.drain_ms);
}

#[test]
fn a_reload_counts_its_one_step_among_all_as_the_sidecar_does() {
    let ladder = Ladder {
        target: FakeTarget::up("backend", "10.0.0.1:80"),
        container: container("backend-1"),
        spec: heal(steps()),
        asked_by: AskedBy::Reload,
        past: Past::default(),
        was_well: true,
    };
    assert_eq!(ladder.place(0, &steps()[0]), "step 1/3 gunicorn reload");
}

#[tokio::test]
async fn what_recovers_or_leaves_by_itself_is_left_alone() {
    let target = FakeTarget::up("backend", "10.0.0.1:80");
    let ladder = |target: &Arc<FakeTarget>| Ladder {
        target: Arc::clone(target) as Arc<dyn HealTarget>,
        container: container("backend-1"),
        spec: heal(steps()),
        asked_by: AskedBy::Policy,
        past: Past::default(),
        was_well: false,
    };
    let driver = Arc::new(FakeDriver::new(vec![], |_| {}));
    let report = ladder(&target).run(&tools(&driver, &Arc::default())).await;
    assert_eq!((report.outcome, report.acted, driver.performed().len()), (LadderOutcome::Recovered, false, 0));

    let target = FakeTarget::sick("backend", "10.0.0.1:80");
    target.leaving.store(true, Ordering::SeqCst);
    let report = ladder(&target).run(&tools(&driver, &Arc::default())).await;
    assert_eq!((report.outcome, driver.performed().len()), (LadderOutcome::Left, 1));
}

#[tokio::test]
async fn dropping_a_ladder_lets_requests_back() {
    let ran = run(vec![], None, None);
    assert!(tokio::time::timeout(Duration::from_millis(20), ran).await.is_err());
    let target = FakeTarget::sick("backend", "10.0.0.1:80");
    target.in_flight.store(1, Ordering::SeqCst);
    let ladder = Ladder {
        target: Arc::clone(&target) as Arc<dyn HealTarget>,
        container: container("backend-1"),
        spec: HealSpec { drain: Duration::from_secs(60), ..heal(steps()) },
        asked_by: AskedBy::Policy,
        past: Past::default(),
        was_well: false,
    };
    let (driver, journal) = (Arc::new(FakeDriver::new(vec![], |_| {})), Arc::<Journal>::default());
    assert!(tokio::time::timeout(Duration::from_millis(20), ladder.run(&tools(&driver, &journal))).await.is_err());
    assert!(!target.is_held());
    assert_eq!(target.probes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn of_one_that_was_well_a_step_that_failed_is_not_said_to_have_helped() {
    let hung = ExecError::TimedOut {
        command: "pkill".into(),
        container: name(),
        limit: Duration::from_secs(1),
        output: String::new(),
    };
    for (result, outcome) in
        [(done(0), LadderOutcome::Healed), (done(1), LadderOutcome::Failed), (Err(hung), LadderOutcome::Failed)]
    {
        let target = FakeTarget::up("backend", "10.0.0.1:80");
        let ladder = Ladder {
            target: Arc::clone(&target) as Arc<dyn HealTarget>,
            container: container("backend-1"),
            spec: heal(steps()),
            asked_by: AskedBy::Reload,
            past: Past::default(),
            was_well: true,
        };
        let (driver, journal) = (Arc::new(FakeDriver::new(vec![result], |_| {})), Arc::<Journal>::default());
        let report = ladder.run(&tools(&driver, &journal)).await;
        assert_eq!((report.outcome, driver.performed().len()), (outcome, 1));
    }
}

#[tokio::test]
async fn one_container_has_one_ladder_at_a_time() {
    let ladder = || Ladder {
        target: FakeTarget::sick("backend", "10.0.0.1:80"),
        container: container("backend-1"),
        spec: heal(steps()),
        asked_by: AskedBy::Hand,
        past: Past::default(),
        was_well: false,
    };
    let (driver, journal) = (Arc::new(FakeDriver::new(vec![], |_| {})), Arc::<Journal>::default());
    let tools = tools(&driver, &journal);
    let (first, second) = tokio::join!(ladder().run(&tools), ladder().run(&tools));
    assert_eq!((first.outcome, second.outcome, second.acted), (LadderOutcome::Failed, LadderOutcome::Postponed, false));
    assert_eq!(ladder().run(&tools).await.outcome, LadderOutcome::Failed, "and another when that has ended");
}
