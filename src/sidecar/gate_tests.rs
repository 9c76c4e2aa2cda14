//! What an edge, well or hostile, may have done by asking.

use super::*;

const TERMS: HealTerms = HealTerms {
    cooldown: Duration::from_secs(30),
    budget: Budget { count: 3, window: Duration::from_secs(600) },
    patience: Duration::from_secs(25),
    longest: Duration::from_secs(60),
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1_795_000_000 + seconds)
}

fn name(text: &str) -> UpstreamName {
    UpstreamName::parse(text).unwrap()
}

/// What comes of steps that take a second each: `ok`, or why not and for how many seconds.
fn play(gate: &mut StepGate, rows: &[(u64, &str, &str, usize, &str)]) {
    for (seconds, upstream, container, step, expected) in rows {
        let outcome = match gate.begin(&name(upstream), container, *step, &TERMS, at(*seconds)) {
            Ok(_) => {
                gate.end(container, true, at(*seconds + 1));
                "ok".to_owned()
            }
            Err(SidecarRefusal { why, again_in }) => {
                let first = why.split(' ').next().unwrap_or_default();
                format!("{first} {}", again_in.map_or(-1, |again| i64::try_from(again.as_secs()).unwrap()))
            }
        };
        assert_eq!(outcome, *expected, "step {step} in {container} for {upstream} at {seconds} s");
    }
}

#[test]
fn a_ladder_rises_and_the_next_one_waits() {
    #[rustfmt::skip]
    play(&mut StepGate::default(), &[
        (0,   "backend",  "a", 0, "ok"),
        (10,  "backend",  "a", 1, "ok"),           // the same ladder
        (12,  "backend",  "a", 1, "cooling 29"),   // not again, and not back
        (13,  "backend",  "a", 0, "cooling 28"),
        (14,  "backend",  "a", 4, "ok"),           // steps may be left out
        (15,  "backend",  "b", 0, "ok"),           // another container has limits of its own
        (41,  "backend",  "a", 5, "cooling 4"),    // too late for the ladder of 14
        (45,  "backend",  "a", 5, "ok"),           // which therefore is a new one
        (46,  "frontend", "a", 0, "cooling 30"),   // a container shared by two upstreams cools down for both
        (76,  "frontend", "a", 0, "ok"),
        (107, "backend",  "a", 0, "ok"),           // its third
        (138, "backend",  "a", 0, "budget 462"),   // and last within 600 s of the first
        (138, "frontend", "a", 1, "ok"),
        (599, "backend",  "a", 0, "budget 1"),
        (600, "backend",  "a", 0, "ok"),
    ]);
}

#[test]
fn whoever_asks_without_end_gets_the_budget_and_no_more() {
    let mut gate = StepGate::default();
    let mut ladders = 0;
    for tenth in 0..36_000_u64 {
        let now = at(0) + Duration::from_millis(tenth * 100);
        if gate.begin(&name("backend"), "a", 0, &TERMS, now).is_ok() {
            ladders += 1;
            gate.end("a", true, now + Duration::from_millis(50));
        }
    }
    assert_eq!(ladders, 3 * 6, "3 in each 10 minutes of an hour");
    let mut steps = 0;
    let mut gate = StepGate::default();
    for second in 0..600 {
        for step in 0..4 {
            if gate.begin(&name("backend"), "a", step, &TERMS, at(second)).is_ok() {
                steps += 1;
                gate.end("a", true, at(second));
            }
        }
    }
    assert_eq!(steps, 3 * 4, "three ladders of four steps");
}

#[test]
fn one_step_at_a_time_in_a_container_and_in_an_upstream() {
    let mut gate = StepGate::default();
    gate.begin(&name("backend"), "a", 0, &TERMS, at(0)).unwrap();
    assert_eq!(gate.running(), 1);
    let again_in = Some(Duration::from_secs(50));
    let refused = |why: &str| Err(SidecarRefusal { why: why.into(), again_in });
    assert_eq!(
        gate.may_begin(&name("frontend"), "a", &TERMS, at(10)),
        refused("a step is still running in this container")
    );
    let why = "a step is still running in another container of this upstream";
    assert_eq!(gate.may_begin(&name("backend"), "b", &TERMS, at(10)), refused(why));
    assert_eq!(gate.may_begin(&name("frontend"), "c", &TERMS, at(10)), Ok(()));
    gate.end("a", true, at(11));
    assert_eq!(gate.may_begin(&name("backend"), "b", &TERMS, at(11)), Ok(()));
}

#[test]
fn what_was_not_done_is_not_counted() {
    let mut gate = StepGate::default();
    for second in 0..10 {
        gate.begin(&name("backend"), "a", 0, &TERMS, at(second)).unwrap();
        gate.end("a", false, at(second));
    }
    gate.begin(&name("backend"), "a", 0, &TERMS, at(10)).unwrap();
    gate.end("a", true, at(11));
    // The second step of a ladder whose first was done is part of it, done or not.
    gate.begin(&name("backend"), "a", 1, &TERMS, at(12)).unwrap();
    gate.end("a", false, at(13));
    let cooling = Err(SidecarRefusal { why: "cooling down".into(), again_in: Some(Duration::from_secs(30)) });
    assert_eq!(gate.may_begin(&name("backend"), "a", &TERMS, at(13)), cooling);
}

#[test]
fn the_next_process_knows_what_the_last_one_did() {
    let (mut gate, mut file) = (StepGate::default(), Vec::new());
    for second in [0, 100] {
        file.push(gate.begin(&name("backend"), "a", 0, &TERMS, at(second)).unwrap());
        file.push(gate.end("a", true, at(second + 1)));
    }
    file.push(gate.begin(&name("backend"), "b", 0, &TERMS, at(102)).unwrap());
    // Killed here, within a step. Once from the entries, once from a snapshot of them.
    let read = |entries: Vec<CounterEntry>| {
        let mut gate = StepGate::default();
        let texts = entries.iter().map(|entry| serde_json::to_string(entry).unwrap());
        texts.for_each(|text| gate.apply(serde_json::from_str(&text).unwrap()));
        gate
    };
    let mut replayed = read(file);
    for mut next in [read(replayed.histories(at(103))), replayed] {
        play(
            &mut next,
            &[
                (103, "backend", "b", 0, "a 59"),
                (103, "backend", "a", 0, "a 59"),
                (162, "backend", "b", 1, "ok"), // the ladder goes on where nothing told its end
                (163, "backend", "b", 0, "cooling 30"),
                (170, "backend", "a", 0, "ok"),
                (202, "backend", "a", 0, "budget 398"),
            ],
        );
    }
}

#[test]
fn a_clock_that_is_set_back_locks_nothing_for_long() {
    let mut gate = StepGate::default();
    gate.begin(&name("backend"), "a", 0, &TERMS, at(1_000_000)).unwrap();
    gate.end("a", true, at(1_000_001));
    play(&mut gate, &[(0, "backend", "a", 0, "cooling 30"), (30, "backend", "a", 0, "ok")]);
}

#[test]
fn what_nothing_asks_about_is_forgotten() {
    let mut gate = StepGate::default();
    play(&mut gate, &[(0, "backend", "a", 0, "ok")]);
    assert_eq!(gate.histories(at(100)).len(), 1);
    assert_eq!(gate.histories(at(2 * 86_400)).len(), 0);
}

#[test]
fn counters_on_disk_keep_their_words() {
    let line =
        r#"{"chart":{"container":"0123456789ab","chart":{"ladders":{},"open":null,"running":null,"ended":null}}}"#;
    let entry: CounterEntry = serde_json::from_str(line).unwrap();
    assert!(matches!(&entry, CounterEntry::History { container, .. } if container == "0123456789ab"));
    assert_eq!(serde_json::to_string(&entry).unwrap(), line);
}
