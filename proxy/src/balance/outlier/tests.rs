//! What is counted, who is ejected, and for how long.

use super::*;
use Outcome::{ConnectFailed, Connected, Reset, TimedOut};
use Reason::{Consecutive5xxErrors, ConsecutiveGatewayErrors, ConsecutiveLocalOriginFailures};

fn settings() -> mesh::OutlierDetection {
    mesh::OutlierDetection {
        consecutive_5xx: 3,
        interval_ms: 10_000,
        base_ejection_ms: 30_000,
        max_ejection_percent: 100,
        ..Default::default()
    }
}

fn answered(status: u16) -> Outcome {
    Outcome::Answered(StatusCode::from_u16(status).unwrap())
}

#[test]
fn what_is_counted() {
    let five = settings;
    let gateway = || mesh::OutlierDetection {
        consecutive_5xx: 0,
        consecutive_gateway_errors: 2,
        ..settings()
    };
    let split = || mesh::OutlierDetection {
        split_local_origin_errors: true,
        consecutive_local_origin_failures: 2,
        ..settings()
    };
    let [ok, e500, e503] = [200, 500, 503].map(answered);
    for (settings, outcomes, expected) in [
        (five(), vec![e500, e503, e500], Some(Consecutive5xxErrors)),
        (five(), vec![e500, e500], None),
        (five(), vec![e500, e500, ok, e500, e500], None),
        (five(), vec![e500, e500, answered(404), e500], None),
        (
            five(),
            vec![ConnectFailed, Reset, TimedOut],
            Some(Consecutive5xxErrors),
        ),
        (
            five(),
            vec![ConnectFailed, ConnectFailed, Connected, ConnectFailed],
            None,
        ),
        (gateway(), vec![e503, e503], Some(ConsecutiveGatewayErrors)),
        (gateway(), vec![e503, e500, e503], None),
        (gateway(), vec![e503, TimedOut], Some(ConsecutiveGatewayErrors)),
        (
            split(),
            vec![e500, e500, Reset, ConnectFailed],
            Some(ConsecutiveLocalOriginFailures),
        ),
        (split(), vec![Reset, ok, Reset, Connected, Reset], None),
        (split(), vec![e500, Reset, e500, e500], Some(Consecutive5xxErrors)),
    ] {
        let detector = Detector::new(settings);
        let (record, now) = (Record::default(), Instant::now());
        detector.recover([&record].into_iter(), now);
        let seen: Vec<_> = outcomes
            .iter()
            .map(|outcome| detector.observe(&record, *outcome, now))
            .collect();
        let last = seen.last().copied().flatten();
        assert_eq!(last, expected, "{outcomes:?}");
        assert!(seen[..seen.len() - 1].iter().all(Option::is_none), "{seen:?}");
        assert_eq!(record.is_out(), expected.is_some());
    }
}

/// Fails until it is out.
fn fail(detector: &Detector, record: &Record, now: Instant) -> bool {
    (0..3).any(|_| detector.observe(record, answered(500), now).is_some())
}

#[test]
fn each_ejection_is_longer_until_all_is_quiet() {
    let detector = Detector::new(settings());
    let (record, mut now) = (Record::default(), Instant::now());
    let recover = |now| detector.recover([&record].into_iter(), now);
    recover(now);
    for seconds in [30, 60, 90] {
        assert!(fail(&detector, &record, now));
        let until = recover(now).unwrap();
        assert_eq!((until - now).as_secs(), seconds);
        assert_eq!(recover(until - Duration::from_millis(1)), Some(until));
        assert!(record.is_out());
        assert_eq!(recover(until), None);
        assert!(!record.is_out());
        now = until;
    }
    // Two intervals without failures.
    now += Duration::from_secs(20);
    assert!(fail(&detector, &record, now));
    assert_eq!((recover(now).unwrap() - now).as_secs(), 60);
}

#[test]
fn an_ejection_is_never_longer_than_five_minutes() {
    let detector = Detector::new(settings());
    let (record, mut now) = (Record::default(), Instant::now());
    for _ in 0..20 {
        detector.recover([&record].into_iter(), now);
        assert!(fail(&detector, &record, now));
        let until = detector.recover([&record].into_iter(), now).unwrap();
        assert!(until - now <= LONGEST);
        now = until;
    }
}

#[test]
fn not_more_than_a_share_is_out() {
    for (percent, total, expected) in [
        (0, 4, 0),
        (10, 4, 1),
        (50, 4, 2),
        (74, 4, 2),
        (100, 4, 4),
        (10, 1, 1),
    ] {
        let detector = Detector::new(mesh::OutlierDetection {
            max_ejection_percent: percent,
            ..settings()
        });
        let records: Vec<_> = (0..total).map(|_| Record::default()).collect();
        let now = Instant::now();
        detector.recover(records.iter(), now);
        let out = records
            .iter()
            .filter(|record| fail(&detector, record, now))
            .count();
        assert_eq!(out, expected, "{percent} % of {total}");
    }
}

#[test]
fn below_the_least_health_all_are_used() {
    for (least, healthy, total, expected) in [
        (0, 0, 4, false),
        (50, 2, 4, false),
        (50, 1, 4, true),
        (100, 4, 4, false),
    ] {
        let detector = Detector::new(mesh::OutlierDetection {
            min_health_percent: least,
            ..settings()
        });
        assert_eq!(
            detector.gives_up(healthy, total),
            expected,
            "{least} {healthy}/{total}"
        );
    }
}
