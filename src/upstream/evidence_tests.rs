//! Tables of what requests say about a backend and what follows.

use super::*;

#[test]
fn a_refused_connection_ejects_at_once() {
    let now = Instant::now();
    assert_eq!(Evidence::new(now).failed(Failure::Refused, now), Finding::Eject);
}

#[test]
fn three_resets_in_a_row_eject_and_an_answer_between_forgives() {
    let now = Instant::now();
    let evidence = Evidence::new(now);
    assert_eq!(evidence.failed(Failure::Reset, now), Finding::Suspicious);
    assert_eq!(evidence.failed(Failure::Timeout, now), Finding::Suspicious);
    evidence.answered(200, now);
    assert_eq!(evidence.failed(Failure::Reset, now), Finding::Suspicious);
    assert_eq!(evidence.failed(Failure::Reset, now), Finding::Suspicious);
    assert_eq!(evidence.failed(Failure::Reset, now), Finding::Eject);
}

#[test]
fn the_share_of_errors_ejects() {
    #[rustfmt::skip]
    let rows = [
        // well before, then (well, errors) over and over; answers until it is ejected
        (0,     (1, 1), Some(20)),
        (0,     (0, 1), Some(10)),
        (1_000, (0, 1), Some(10)),
        (1_000, (1, 1), Some(44)),
        (0,     (2, 1), None),
        (1_000, (3, 1), None),
    ];
    for (before, (well, errors), expected) in rows {
        let now = Instant::now();
        let evidence = Evidence::new(now);
        for _ in 0..before {
            assert_eq!(evidence.answered(200, now), Finding::Nothing);
        }
        let cycle = std::iter::repeat_n(200, well).chain(std::iter::repeat_n(500, errors));
        let found = cycle.cycle().take(1_000).position(|status| evidence.answered(status, now) == Finding::Eject);
        assert_eq!(found.map(|at| at + 1), expected, "{before} well, then {well} well to {errors} errors");
    }
}

#[test]
fn a_few_errors_in_a_row_are_suspicious() {
    let now = Instant::now();
    let evidence = Evidence::new(now);
    let findings: Vec<_> = (0..5).map(|_| evidence.answered(500, now)).collect();
    let suspicious: Vec<_> = findings.iter().map(|finding| *finding == Finding::Suspicious).collect();
    assert_eq!(suspicious, [false, false, false, true, false]);
    assert!(evidence.is_erring());
    evidence.answered(200, now);
    assert!(!evidence.is_erring());
}

#[test]
fn suspicions_keep_their_distance() {
    let now = Instant::now();
    let evidence = Evidence::new(now);
    let after = [0, 10, 299, 300, 599, 601].map(|ms| evidence.may_suspect(now + Duration::from_millis(1 + ms)));
    assert_eq!(after, [true, false, false, true, false, true]);
}

#[test]
fn siblings_that_fail_alike_are_no_better() {
    let now = Instant::now();
    let (sick, alike, well) = (Evidence::new(now), Evidence::new(now), Evidence::new(now));
    for n in 0..60 {
        sick.answered(if n % 2 == 0 { 200 } else { 500 }, now);
        alike.answered(if n % 3 == 0 { 500 } else { 200 }, now);
        well.answered(if n % 10 == 0 { 500 } else { 200 }, now);
    }
    let share = sick.error_share();
    assert_eq!((share, alike.is_better_than(share), well.is_better_than(share)), (50, false, true));
}

#[test]
fn only_recent_answers_show_that_there_are_no_errors() {
    let now = Instant::now();
    let after = |statuses: &[(u16, usize)]| {
        let evidence = Evidence::new(now);
        for (status, count) in statuses {
            (0..*count).for_each(|_| _ = evidence.answered(*status, now));
        }
        evidence
    };
    #[rustfmt::skip]
    let rows = [
        ("nothing answered",             after(&[]),                      now,                false),
        ("too few answers",              after(&[(200, 9)]),              now,                false),
        ("enough answers",               after(&[(200, 10)]),             now,                true),
        ("answers of a while ago",       after(&[(200, 10)]),             now + SHARE_WINDOW, false),
        ("one error",                    after(&[(500, 1), (200, 20)]),   now,                false),
        ("an error in the window before", after(&[(500, 1), (200, 80)]),  now,                false),
        ("a second window without one",  after(&[(200, 80)]),             now,                true),
    ];
    for (case, evidence, at, expected) in rows {
        assert_eq!(evidence.is_free_of_errors(at), expected, "{case}");
    }
}

#[test]
fn a_probe_that_passes_ends_all_doubt() {
    let now = Instant::now();
    let evidence = Evidence::new(now);
    evidence.doubt(Duration::from_secs(1), now);
    assert!(evidence.is_doubted(now) && !evidence.is_doubted(now + Duration::from_secs(1)));
    evidence.eject(true, now);
    evidence.clear_suspicion(now + Duration::from_millis(500));
    assert!(!evidence.is_doubted(now) && !evidence.is_ejected(now));
    assert_eq!(evidence.silence(now + Duration::from_millis(600)), Duration::from_millis(100));
    evidence.eject(false, now);
    evidence.clear_suspicion(now);
    assert!(evidence.is_ejected(now), "its check passes all the same");
    evidence.clear_ejection(now);
    assert!(!evidence.is_ejected(now), "its check had failed");
}

#[test]
fn a_new_window_starts_from_nothing() {
    let now = Instant::now();
    let evidence = Evidence::new(now);
    for n in 0..19 {
        evidence.answered(if n % 2 == 0 { 500 } else { 200 }, now);
    }
    assert_eq!(evidence.answered(500, now + SHARE_WINDOW), Finding::Nothing);
    assert_eq!(evidence.error_share(), 0);
}

#[test]
fn ejections_grow_and_end() {
    let now = Instant::now();
    let evidence = Evidence::new(now);
    assert_eq!(evidence.eject(true, now), EJECTION);
    assert!(evidence.is_ejected(now));
    assert_eq!(evidence.eject(true, now), EJECTION * 2);
    assert!(!evidence.is_ejected(now + EJECTION * 2));
    assert_eq!(evidence.eject(true, now + FORGIVEN_AFTER * 2), EJECTION);
    evidence.clear_suspicion(now + FORGIVEN_AFTER * 2);
    assert!(!evidence.is_ejected(now + FORGIVEN_AFTER * 2));
}
