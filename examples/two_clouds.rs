//! Maps on one platform and reduces on another: `two_clouds MAP_CONFIG REDUCE_CONFIG`. Each of the two files is a configuration
//! like any other, so that the program is the same for every pair of platforms.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::collections::{BTreeMap, BTreeSet};

use lithops::prelude::*;

/// How often each word occurs, and where it was counted.
type Counted = (BTreeMap<String, u64>, String);

/// The platform that a call runs on, by the variables that it sets.
fn platform() -> String {
    let known = [("AWS_LAMBDA_FUNCTION_NAME", "AWS Lambda"), ("K_SERVICE", "Cloud Run or Knative")];
    let found = known.iter().find(|(variable, _)| std::env::var_os(variable).is_some());
    found.map_or("this machine", |(_, name)| name).to_owned()
}

#[lithops::function]
fn count(text: String) -> Counted {
    let mut counts = BTreeMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    (counts, platform())
}

#[lithops::function]
fn merge(parts: Vec<Counted>) -> Counted {
    let mut total = BTreeMap::new();
    for (word, count) in parts.into_iter().flat_map(|(counts, _)| counts) {
        *total.entry(word).or_default() += count;
    }
    (total, platform())
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let mut files = std::env::args().skip(1);
    let (Some(map), Some(reduce)) = (files.next(), files.next()) else {
        let problem = "two configurations are wanted: that of the map, and that of the reduce";
        return Err(lithops::Error::new(lithops::ErrorKind::InvalidInput, problem)
            .with_hint("write `two_clouds map.yaml reduce.yaml`"));
    };
    let mapping = FunctionExecutor::builder().config_file(map).build().await?;
    let reducing = FunctionExecutor::builder().config_file(reduce).build().await?;

    let texts = (1..=100).map(|repeats| "to be or not to be ".repeat(repeats));
    let counted = mapping.map(count, texts).await?.get_result().await?;
    let places: BTreeSet<_> = counted.iter().map(|(_, place)| place.clone()).collect();
    let (total, place) = reducing.call_async(merge, counted).await?.result().await?;

    println!("mapped on {}, reduced on {place}", places.into_iter().collect::<Vec<_>>().join(" and "));
    for (word, count) in total {
        println!("{count} {word}");
    }
    Ok(())
}
