//! The table of cases. Times are seconds after the edge's start.

use super::*;
use crate::config::model::{Budget, Preset, Step};

fn spec() -> HealSpec {
    HealSpec {
        steps: vec![Step::Preset(Preset::GunicornReload)],
        drain: Duration::from_secs(5),
        verify: Duration::from_secs(10),
        cooldown: Duration::from_secs(30),
        budget: Budget { count: 3, window: Duration::from_secs(600) },
        min_up: 1,
        timeout: Duration::from_secs(15),
    }
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

const FOUND: Sight<'static> = Sight::Found {
    state: ContainerState::Running,
    age: Some(Duration::from_secs(3600)),
    start_period: Duration::ZERO,
    shared_with: None,
};

/// A sick backend, 100 s after the edge's start, that nothing speaks against healing.
fn view(start: Instant) -> BackendView<'static> {
    BackendView {
        is_up: false,
        is_sick: true,
        unready: None,
        serves: false,
        sick_since: Some(start + secs(95)),
        others_up: 2,
        sibling: None,
        need: None,
        siblings_well: false,
        everything_sick_since: None,
        paused_until: None,
        planned: false,
        overloaded: false,
        commanded: false,
        unproven: None,
        started: start,
        reloaded: None,
        sight: FOUND,
    }
}

fn word(decision: &Decision) -> String {
    match decision {
        Decision::Heal => "heal".into(),
        Decision::Ignore(reason) => format!("{reason:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned(),
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_server_that_lives_and_says_so_is_left_alone() {
    let (start, spec, record) = (Instant::now(), spec(), HealRecord::default());
    let full = BackendView { unready: Some("Too many connections".into()), ..view(start) };
    let words = "the server is alive and says so: Too many connections";
    for now in [start + secs(100), start + secs(100_000)] {
        let Decision::Ignore(reason) = decide(&record, &spec, &full, now) else { panic!("it is healed") };
        assert_eq!(reason.to_string(), words);
    }
    let last = BackendView { others_up: 0, siblings_well: true, ..full };
    assert_eq!(word(&decide(&record, &spec, &last, start + secs(100))), "Unready");
}

#[test]
fn one_look_at_one_backend() {
    let start = Instant::now();
    let now = start + secs(100);
    let database = UpstreamName::parse("database").unwrap();
    let sibling = Some(address("10.0.0.2:80"));
    let found = |state, age, shared_with| Sight::Found {
        state,
        age: Some(secs(age)),
        start_period: Duration::ZERO,
        shared_with,
    };
    let slow = |age| Sight::Found {
        state: ContainerState::Running,
        age: Some(secs(age)),
        start_period: secs(60),
        shared_with: None,
    };
    let base = view(start);
    #[rustfmt::skip]
    let rows = [
        ("nothing speaks against it",      base.clone(),                                                           "heal"),
        ("not looked at yet",              BackendView { sight: Sight::NotLooked, ..base.clone() },                       "heal"),
        ("it is up",                       BackendView { is_up: true, ..base.clone() },                                   "Well"),
        ("only suspicious",                BackendView { is_sick: false, ..base.clone() },                                "NotSick"),
        ("an operator works on it",        BackendView { paused_until: Some(now + secs(1)), ..base.clone() },             "Paused"),
        ("a pause that is over",           BackendView { paused_until: Some(now), ..base.clone() },                       "heal"),
        ("a command is at work",           BackendView { commanded: true, ..base.clone() },                                 "ByHand"),
        ("a deploy replaces it",           BackendView { planned: true, ..base.clone() },                                 "Planned"),
        ("overload",                       BackendView { overloaded: true, ..base.clone() },                              "Overloaded"),
        ("the edge just started",          BackendView { started: now - secs(9), ..base.clone() },                        "EdgeStarted"),
        ("just reloaded, then sick",       BackendView { reloaded: Some(start + secs(95)), ..base.clone() },              "heal"),
        ("just reloaded, then sick soon",  BackendView { reloaded: Some(start + secs(96)), sick_since: Some(start + secs(99)), ..base.clone() }, "JustReloaded"),
        ("sick long before the reload",    BackendView { reloaded: Some(start + secs(99)), sick_since: Some(start + secs(40)), ..base.clone() }, "heal"),
        ("everything is sick",             BackendView { everything_sick_since: Some(start + secs(99)), ..base.clone() }, "EverythingSick"),
        ("the database is sick",           BackendView { need: Some(Need::Sick(&database)), ..base.clone() },             "NeedSick"),
        ("the database just came back",    BackendView { need: Some(Need::JustBack(&database)), ..base.clone() },         "NeedJustBack"),
        ("the same, and siblings are well", BackendView { need: Some(Need::Sick(&database)), siblings_well: true, ..base.clone() }, "heal"),
        ("it was, and they stayed well",    BackendView { need: Some(Need::JustBack(&database)), siblings_well: true, ..base.clone() }, "heal"),
        ("siblings are well, no need",      BackendView { siblings_well: true, ..base.clone() },                          "heal"),
        ("a sibling is being healed",      BackendView { sibling, ..base.clone() },                                       "Sibling"),
        ("the last one, and it serves",    BackendView { serves: true, others_up: 0, ..base.clone() },                    "MinUp"),
        ("the last one, dead",             BackendView { serves: false, others_up: 0, ..base.clone() },                   "heal"),
        ("it serves, others are up",       BackendView { serves: true, others_up: 1, ..base.clone() },                    "heal"),
        ("Docker is off",                  BackendView { sight: Sight::NoDocker("off"), ..base.clone() },                 "NoDocker"),
        ("it was recreated",               BackendView { sight: Sight::NotFound("gone"), ..base.clone() },                "NoContainer"),
        ("paused",                         BackendView { sight: found(ContainerState::Paused, 900, None), ..base.clone() },     "ContainerIs"),
        ("restarting",                     BackendView { sight: found(ContainerState::Restarting, 900, None), ..base.clone() }, "ContainerIs"),
        ("exited",                         BackendView { sight: found(ContainerState::Exited, 900, None), ..base.clone() },     "ContainerIs"),
        ("its container is healed",        BackendView { sight: found(ContainerState::Running, 900, sibling), ..base.clone() }, "SameContainer"),
        ("its container is young",         BackendView { sight: found(ContainerState::Running, 29, None), ..base.clone() },     "ContainerStarting"),
        ("its container starts slowly",    BackendView { sight: slow(59), ..base.clone() },                               "ContainerStarting"),
        ("its slow start is over",         BackendView { sight: slow(61), ..base.clone() },                               "heal"),
        ("its container is old enough",    BackendView { sight: found(ContainerState::Running, 31, None), ..base.clone() },     "heal"),
    ];
    for (case, view, expected) in rows {
        let decision = decide(&HealRecord::default(), &spec(), &view, now);
        assert_eq!(word(&decision), expected, "{case}");
        if let Decision::Ignore(reason) = decision {
            assert!(!reason.to_string().is_empty() && reason.is_like(&reason));
        }
    }
}

#[test]
fn what_never_passed_its_check_is_not_healed() {
    let start = Instant::now();
    let now = start + secs(100);
    let database = UpstreamName::parse("database").unwrap();
    let definition = Definition { upstream: "api".into(), port: 8001, check: "tcp within 1s".into() };
    let young = Sight::Found {
        state: ContainerState::Running,
        age: Some(secs(20)),
        start_period: Duration::ZERO,
        shared_with: None,
    };
    let base = BackendView { unproven: Some(definition), ..view(start) };
    let mut spent = HealRecord::default();
    (0..3).for_each(|_| spent.begin(now));
    #[rustfmt::skip]
    let rows = [
        ("not looked at yet",       &HealRecord::default(), BackendView { sight: Sight::NotLooked, ..base.clone() },            "heal"),
        ("its container runs",      &HealRecord::default(), base.clone(),                                                "NeverPassed"),
        ("healed by hand, often",   &spent,             base.clone(),                                                "NeverPassed"),
        ("it is up",                &HealRecord::default(), BackendView { is_up: true, ..base.clone() },                        "Well"),
        ("the database is sick",    &HealRecord::default(), BackendView { need: Some(Need::Sick(&database)), ..base.clone() },  "NeedSick"),
        ("its container is young",  &HealRecord::default(), BackendView { sight: young, ..base.clone() },                       "ContainerStarting"),
        ("there is no container",   &HealRecord::default(), BackendView { sight: Sight::NotFound("gone"), ..base.clone() },     "NoContainer"),
    ];
    for (case, record, view, expected) in rows {
        assert_eq!(word(&decide(record, &spec(), &view, now)), expected, "{case}");
    }
}

#[test]
fn a_young_container_that_was_already_up_is_healed() {
    let start = Instant::now();
    let now = start + secs(100);
    let young = BackendView {
        sight: Sight::Found {
            state: ContainerState::Running,
            age: Some(secs(20)),
            start_period: Duration::ZERO,
            shared_with: None,
        },
        ..view(start)
    };
    let mut record = HealRecord::default();
    record.observe(true, Some(now - secs(40)), now - secs(40));
    assert_eq!(word(&decide(&record, &spec(), &young, now)), "ContainerStarting", "it was up before this start");
    // Another container had the address, and nobody has looked since.
    record.observe(true, Some(now - secs(40)), now - secs(19));
    assert_eq!(word(&decide(&record, &spec(), &young, now)), "ContainerStarting", "no probe passed since this start");
    record.observe(true, Some(now - secs(10)), now - secs(10));
    assert_eq!(decide(&record, &spec(), &young, now), Decision::Heal);
}

#[test]
fn ladders_pause_longer_each_time_they_fail() {
    let start = Instant::now();
    let spec = HealSpec { budget: Budget { count: 100, window: secs(86_400) }, ..spec() };
    let mut record = HealRecord::default();
    let mut now = start + secs(100);
    for pause in [30, 60, 120, 240, 480, 600, 600] {
        assert_eq!(decide(&record, &spec, &view(start), now), Decision::Heal);
        record.begin(now);
        record.end(Ended::Failed, &spec, 0.0, now);
        let almost = now + secs(pause) - Duration::from_millis(1);
        assert_eq!(word(&decide(&record, &spec, &view(start), almost)), "CoolingDown", "{pause} s");
        now += secs(pause);
    }
    record.begin(now);
    record.end(Ended::Healed, &spec, 0.0, now);
    assert_eq!(word(&decide(&record, &spec, &view(start), now + secs(29))), "CoolingDown");
    assert_eq!(decide(&record, &spec, &view(start), now + secs(30)), Decision::Heal);
}

#[test]
fn a_budget_is_a_rate_whether_ladders_help_or_not() {
    let start = Instant::now();
    for ended in [Ended::Healed, Ended::Failed] {
        let mut record = HealRecord::default();
        let mut now = start + secs(100);
        for _ in 0..3 {
            assert_eq!(decide(&record, &spec(), &view(start), now), Decision::Heal, "{ended:?}");
            record.begin(now);
            record.end(ended, &spec(), 0.0, now);
            now += secs(121);
        }
        // They began at 100, 221 and 342 s: the first place is free at 700 s, the next at 821 s.
        let wait = |record: &HealRecord, at: u64| match decide(record, &spec(), &view(start), start + secs(at)) {
            Decision::Ignore(Reason::BudgetUsed { count: 3, wait, .. }) => wait.as_secs(),
            Decision::Heal => 0,
            other @ Decision::Ignore(_) => panic!("{ended:?} at {at} s: {other:?}"),
        };
        for (at, left) in [(343, 357), (463, 237), (699, 1), (700, 0), (10_000, 0)] {
            assert_eq!(wait(&record, at), left, "{ended:?} at {at} s");
        }
        // A short recovery or a stable one gives none of them back.
        record.observe(true, None, start + secs(500));
        record.observe(true, None, start + secs(570));
        record.observe(false, None, start + secs(571));
        assert_eq!(wait(&record, 571), 129, "{ended:?}");
        record.trim(&spec(), start + secs(700));
        record.begin(start + secs(700));
        record.end(ended, &spec(), 0.0, start + secs(700));
        assert_eq!(wait(&record, 701), 120, "{ended:?}: one place, one ladder");
        assert_eq!(wait(&record, 821), 0, "{ended:?}");
    }
}

#[test]
fn a_place_in_the_budget_does_not_end_a_longer_pause() {
    let start = Instant::now();
    let spec = HealSpec { budget: Budget { count: 2, window: secs(60) }, ..spec() };
    let (mut record, now) = (HealRecord::default(), start + secs(1_000));
    for _ in 0..5 {
        record.begin(now);
        record.end(Ended::Failed, &spec, 0.0, now);
    }
    // Five in a row that did not help: 480 s.
    let paused = Decision::Ignore(Reason::BudgetUsed { count: 2, window: secs(60), wait: secs(479) });
    assert_eq!(decide(&record, &spec, &view(start), now + secs(1)), paused);
    assert_eq!(word(&decide(&record, &spec, &view(start), now + secs(61))), "CoolingDown");
    assert_eq!(decide(&record, &spec, &view(start), now + secs(480)), Decision::Heal);
}

#[test]
fn who_waits_is_told_until_when_and_what_heals_now() {
    let (clock, api) = (std::time::SystemTime::now(), UpstreamName::parse("api").unwrap());
    let at = |wait: Duration| {
        let time = chrono::DateTime::<chrono::Local>::from(clock + wait + Duration::from_millis(999));
        time.format("%H:%M:%S").to_string()
    };
    let budget = Reason::BudgetUsed { count: 3, window: secs(600), wait: secs(357) };
    #[rustfmt::skip]
    let rows = [
        (budget,                          format!("budget used (3 heals in 600s): the next heal comes at {}; to heal now: `remora heal api`", at(secs(357)))),
        (Reason::CoolingDown(secs(12)),   format!("cooling down: the next heal comes at {}; to heal now: `remora heal api`", at(secs(12)))),
        (Reason::Planned,                 Reason::Planned.to_string()),
    ];
    for (reason, told) in rows {
        assert_eq!(reason.told(&api, ManualHeals::AtOnce, clock), told);
        // A sidecar has the same limits, and they are its own.
        let limited = reason.told(&api, ManualHeals::WithinLimits, clock);
        let sooner = match &reason {
            Reason::BudgetUsed { .. } => Some("raise `budget` in the file"),
            Reason::CoolingDown(_) => Some("lower `cooldown` in the file"),
            _ => None,
        };
        let expected = match (sooner, told.split_once("; ")) {
            (Some(sooner), Some((when, _))) => {
                format!("{when}; the sidecar refuses `remora heal api` until then; to heal sooner, {sooner}")
            }
            _ => told,
        };
        assert_eq!(limited, expected);
    }
    assert!(Reason::Unrunnable.told(&api, ManualHeals::AtOnce, clock).ends_with("; to try now: `remora heal api`"));
}

#[test]
fn what_was_not_tried_does_not_count() {
    let start = Instant::now();
    let now = start + secs(100);
    let mut record = HealRecord::default();
    for _ in 0..10 {
        assert_eq!(decide(&record, &spec(), &view(start), now), Decision::Heal);
        record.begin(now);
        record.end(Ended::Refunded, &spec(), 0.0, now);
    }
    record.begin(now);
    record.end(Ended::Unrunnable, &spec(), 0.0, now);
    let mut edited = record.clone();
    edited.reconsider();
    assert!(record.is_unrunnable() && !edited.is_unrunnable(), "an edit of the file is a new chance");
    assert_eq!(word(&decide(&record, &spec(), &view(start), now + secs(60))), "Unrunnable");
}

#[test]
fn old_ladders_are_forgotten() {
    let now = Instant::now() + secs(10_000);
    let mut record = HealRecord::default();
    for ago in [700, 650, 10] {
        record.begin(now - secs(ago));
    }
    record.trim(&spec(), now);
    let place = |count| record.place_in(&Budget { count, window: secs(3600) }, now);
    assert_eq!((place(1), place(2)), (Some(secs(3590)), None), "one is left");
}

#[test]
fn what_falls_together_has_one_cause() {
    let start = Instant::now();
    let names: Vec<UpstreamName> =
        ["backend", "database"].iter().map(|text| UpstreamName::parse(text).unwrap()).collect();
    let asks = [names[0].clone()];
    let (lives, silent) = (Symptoms { answers: true, routed: true }, Symptoms { answers: false, routed: true });
    let database = Symptoms { answers: false, routed: false };
    // Replicas of the backend, how many are sick, seconds when the first and the last fell, how it fails; the database.
    #[rustfmt::skip]
    let rows = [
        ("it says 503, the database is dead",       (3, 3, 50, 51, lives),  (1, 1, 53, 53, database), true),
        ("the database fell first",                 (3, 3, 50, 51, lives),  (1, 1, 40, 40, database), true),
        ("it hangs, the database is dead",          (3, 3, 50, 51, silent), (1, 1, 53, 53, database), true),
        ("one of its replicas is well",             (3, 2, 50, 51, lives),  (1, 1, 53, 53, database), false),
        ("one replica fell long before",            (3, 3, 20, 51, lives),  (1, 1, 53, 53, database), false),
        ("the database is well",                    (3, 3, 50, 51, lives),  (1, 0, 0, 0, database),   false),
        ("one of two databases is well",            (3, 3, 50, 51, lives),  (2, 1, 53, 53, database), false),
        ("the database fell long before",           (3, 3, 50, 51, lives),  (1, 1, 20, 20, database), false),
        ("the database fell long after",            (3, 3, 50, 51, lives),  (1, 1, 67, 67, database), false),
        ("both answer",                             (3, 3, 50, 51, lives),  (1, 1, 53, 53, Symptoms { answers: true, routed: false }), false),
        ("both are silent, and clients ask both",   (3, 3, 50, 51, silent), (1, 1, 53, 53, silent),   false),
        ("nobody checks the other",                 (3, 3, 50, 51, lives),  (0, 0, 0, 0, database),   false),
    ];
    let view = |place: usize, (checked, sick, first, last, symptoms): (usize, usize, u64, u64, Symptoms)| PoolView {
        name: &names[place],
        needs: &[],
        checked,
        sick,
        fell: (sick != 0).then(|| (start + secs(first), start + secs(last))),
        symptoms,
    };
    for (case, backend, other, expected) in rows {
        let pools = [view(0, backend), view(1, other)];
        assert_eq!(cause_of(&pools[0], &pools), expected.then_some(&names[1]), "{case}");
        assert_eq!(cause_of(&pools[1], &pools), None, "{case}: never the other way round");
    }
    let pools = [view(0, (1, 1, 50, 50, lives)), PoolView { needs: &asks, ..view(1, (1, 1, 50, 50, database)) }];
    assert_eq!(cause_of(&pools[0], &pools), None, "what needs it is not its cause");
    // With everything sick, one that answers shows that the way to it works.
    let both = |symptoms| [view(0, (3, 3, 50, 51, symptoms)), view(1, (1, 1, 53, 53, database))];
    assert_eq!((everything_sick(&both(lives)), everything_sick(&both(silent))), (None, Some(start + secs(53))));
}

#[test]
fn everything_at_once_is_nobodys_sickness() {
    let start = Instant::now();
    let name = |text: &str| UpstreamName::parse(text).unwrap();
    let names: Vec<UpstreamName> = ["frontend", "backend", "database"].iter().map(|text| name(text)).collect();
    let needs = [name("database")];
    // Backends, how many are sick, seconds when the last fell; `backend` needs `database`.
    #[rustfmt::skip]
    let rows = [
        ("all well",                          [(2, 0, 0),  (3, 0, 0),  (1, 0, 0)],   None),
        ("one replica is sick",               [(2, 0, 0),  (3, 1, 50), (1, 0, 0)],   None),
        ("one upstream is sick",              [(2, 0, 0),  (3, 3, 50), (1, 0, 0)],   None),
        ("the database and its dependents",   [(2, 0, 0),  (3, 3, 52), (1, 1, 50)],  None),
        ("only those two are checked",        [(0, 0, 0),  (3, 3, 52), (1, 1, 50)],  None),
        ("all three within seconds",          [(2, 2, 51), (3, 3, 52), (1, 1, 50)],  Some(51)),
        ("all three, one long before",        [(2, 2, 20), (3, 3, 52), (1, 1, 50)],  None),
        ("one backend left",                  [(2, 1, 51), (3, 3, 52), (1, 1, 50)],  None),
        ("two checked, unrelated",            [(2, 2, 51), (0, 0, 0),  (1, 1, 50)],  Some(51)),
        ("a single checked upstream",         [(2, 2, 51), (0, 0, 0),  (0, 0, 0)],   None),
        ("no checks at all",                  [(0, 0, 0),  (0, 0, 0),  (0, 0, 0)],   None),
    ];
    for (case, pools, expected) in rows {
        let pools: Vec<PoolView<'_>> = names
            .iter()
            .zip(pools)
            .map(|(name, (checked, sick, at))| PoolView {
                name,
                needs: if name.as_str() == "backend" { &needs } else { &[] },
                checked,
                sick,
                fell: (sick != 0).then(|| (start + secs(at), start + secs(at))),
                symptoms: Symptoms { answers: false, routed: name.as_str() != "database" },
            })
            .collect();
        assert_eq!(everything_sick(&pools), expected.map(|at| start + secs(at)), "{case}");
    }
    let late = BackendView { everything_sick_since: Some(start), ..view(start) };
    assert_eq!(word(&decide(&HealRecord::default(), &spec(), &late, start + secs(299))), "EverythingSick");
    assert_eq!(decide(&HealRecord::default(), &spec(), &late, start + secs(300)), Decision::Heal);
}
