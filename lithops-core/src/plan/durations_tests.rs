//! Tests of durations.

use super::*;

fn about(left: f64, right: f64, part: f64) {
    assert!((left - right).abs() <= part * right.abs(), "{left} is not about {right}");
}

#[test]
fn the_moments_are_those_of_the_distribution() {
    let exponential = Durations::exponential(0.02).expect("a mean");
    about(exponential.mean(), 0.02, 1e-9);
    about(exponential.deviation(), 0.02, 0.04);
    about(exponential.longest_of(4.0), 0.02 * (1.0 + 0.5 + 1.0 / 3.0 + 0.25), 0.03);
    let bimodal = Durations::bimodal(0.002, 0.2, 0.1).expect("numbers");
    about(bimodal.mean(), 0.0218, 1e-9);
    assert_eq!((bimodal.quantile(0.5), bimodal.quantile(0.95)), (0.002, 0.2));
}

#[test]
fn equal_calls_end_in_rounds() {
    let fixed = Durations::fixed(1.0).expect("a number");
    about(fixed.makespan(8.0, 4.0, 0.0), 2.0, 1e-9);
    about(fixed.makespan(9.0, 4.0, 0.0), 3.0, 1e-9);
    about(fixed.makespan(3.0, 4.0, 0.0), 1.0, 1e-9);
}

#[test]
fn exponential_calls_end_one_by_one() {
    let exponential = Durations::exponential(1.0).expect("a number");
    let harmonic: f64 = (1..=8).map(|place| 1.0 / f64::from(place)).sum();
    about(exponential.makespan(800.0, 8.0, 0.0), 792.0 / 8.0 + harmonic, 0.01);
}

#[test]
fn the_text_is_read_and_nonsense_is_refused() {
    for (text, mean) in [("20ms", 0.02), ("0.5", 0.5), ("exponential:2s", 2.0), ("uniform:1s,3s", 2.0)] {
        about(text.parse::<Durations>().expect(text).mean(), mean, 1e-9);
    }
    for text in
        ["", "0", "-1", "nan", "inf", "20 days", "uniform:3s,1s", "bimodal:1s,2s,2", "poisson:1s", "1e12"]
    {
        assert!(text.parse::<Durations>().is_err(), "{text}");
    }
}

#[test]
fn many_points_become_few_and_keep_mean_and_longest() {
    let many = Durations::weighted((1..=1000).map(|index| (f64::from(index), 1.0))).expect("numbers");
    about(many.mean(), 500.5, 1e-9);
    about(many.longest(), 1000.0, 1e-9);
    assert!(many.points.len() <= POINTS, "{}", many.points.len());
}
