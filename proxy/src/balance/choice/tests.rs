//! Whose turn it is.

use super::*;

#[test]
fn picks() {
    use LoadBalancer::{LeastRequest, Random, RoundRobin};
    for (balancer, loads, turn, draw, expected) in [
        (LeastRequest, vec![], 0, 0, None),
        (LeastRequest, vec![0], 7, 7, Some(0)),
        (LeastRequest, vec![0, 0], 4, 9, Some(0)),
        (LeastRequest, vec![0, 0], 5, 9, Some(1)),
        (LeastRequest, vec![1, 0], 4, 9, Some(1)),
        (LeastRequest, vec![5, 9, 1], 0, 1, Some(2)),
        (LeastRequest, vec![5, 9, 1], 0, 0, Some(0)),
        (RoundRobin, vec![9, 0], 2, 1, Some(0)),
        (Random, vec![9, 0, 0], 2, 4, Some(1)),
    ] {
        assert_eq!(
            pick(loads.len(), balancer, turn, draw, |at| loads[at]),
            expected,
            "{balancer:?} {loads:?} {turn}"
        );
    }
}

#[test]
fn turns_follow_the_weights() {
    let sums = [1, 4, 10];
    for (balancer, rounds) in [(LoadBalancer::RoundRobin, 100), (LoadBalancer::LeastRequest, 100)] {
        let mut seen = [0i32; 3];
        for turn in 0..rounds {
            seen[weighted(&sums, balancer, turn, 0, |_| 0).unwrap()] += 1;
        }
        for (seen, expected) in seen.into_iter().zip([10, 30, 60]) {
            assert!((seen - expected).abs() <= 2, "{balancer:?} {seen} for {expected}");
        }
    }
    // One with three times the weight may have up to three times as much to do.
    let busy = |loads: [usize; 2], draw: u64| {
        weighted(&[1, 4], LoadBalancer::LeastRequest, 0, draw, |at| loads[at]).unwrap()
    };
    assert_eq!(busy([1, 2], u64::MAX), 1);
    assert_eq!(busy([1, 3], u64::MAX), 0);
    assert_eq!(busy([1, 4], u64::MAX), 0);
    assert_eq!(weighted(&[], LoadBalancer::Random, 0, 0, |_| 0), None);
}

#[test]
fn a_share_is_given_up_only_when_much_is_ill() {
    for (healthy, total, expected) in [
        (0, 0, 0),
        (0, 4, 0),
        (4, 4, 100),
        (3, 4, 100),
        (2, 4, 70),
        (1, 2, 70),
    ] {
        assert_eq!(health(healthy, total), expected, "{healthy}/{total}");
    }
}
