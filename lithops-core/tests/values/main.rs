//! Values of all shapes that serde has come back as they were.
//!
//! `LITHOPS_TEST_VALUES` says how many values are tried; `cargo xtask ci --full` tries a million.

mod deep;
mod dynamic;
mod leaves;
mod list;
mod random;
mod sample;
mod shapes;

use random::Random;
use sample::{Sample, Tried};

fn wanted() -> u64 {
    let text = std::env::var("LITHOPS_TEST_VALUES");
    text.map_or(10_000, |text| text.parse().expect("LITHOPS_TEST_VALUES is a number"))
}

#[test]
fn values_of_derived_types_come_back() {
    let types = list::all();
    let each = wanted().div_ceil(types.len() as u64);
    let mut sum = Tried::default();
    for (number, (name, try_one)) in types.iter().enumerate() {
        let mut random = Random::new(number as u64);
        for _ in 0..each {
            let tried = try_one(&mut random).unwrap_or_else(|problem| panic!("{name}: {problem}"));
            sum.add(tried);
        }
    }
    println!("{} types, {} values, of which {} are JSON's too", types.len(), sum.values, sum.json);
    assert!(sum.values >= wanted() && sum.json > sum.values / 3, "{sum:?}");
}

#[test]
fn values_of_types_made_at_random_come_back() {
    let mut random = Random::new(7);
    for number in 0..wanted() {
        let problem = dynamic::try_one(&mut random);
        assert_eq!(problem, None, "type {number}");
    }
}
