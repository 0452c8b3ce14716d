//! The examples.

use std::collections::HashMap;

use super::program::{Programs, Trial};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("granularity prints its plan and 7..=206", granularity),
    ("wordcount counts as another count does", wordcount),
    ("wordcount refuses what is no directory", no_directory),
];

fn granularity(programs: &Programs) -> Result<(), String> {
    let said = programs.example("granularity", &[])?;
    let expected = format!("{:?}\n", (7..207).collect::<Vec<_>>());
    said.ends_with(0)?
        .wants(
            "25 chunks",
            said.stderr.starts_with("200 calls: 25 chunks of 8, fed to 1 worker x 4 sub-workers"),
        )?
        .wants("7..=206 in order", said.stdout == expected)?;
    Ok(())
}

fn wordcount(programs: &Programs) -> Result<(), String> {
    // The same words in every file, each file with one of its own; words are cut by what is no letter or digit.
    let texts: Vec<_> = (0..30)
        .map(|file| format!("The cat, the Cat; file{file}: naïve--Straße\n{}", "end\r\n".repeat(file)))
        .collect();
    for (file, text) in texts.iter().enumerate() {
        programs.write(&format!("texts/{}/{file}.txt", file % 4), text.as_bytes())?;
    }
    let mut counts = HashMap::<String, usize>::new();
    for text in &texts {
        let spaced = text.replace(|c: char| !c.is_alphanumeric(), " ").to_lowercase();
        spaced.split_whitespace().for_each(|word| *counts.entry(word.to_owned()).or_default() += 1);
    }
    let mut ranking: Vec<_> =
        counts.iter().map(|(word, count)| (std::cmp::Reverse(*count), word.as_str())).collect();
    ranking.sort_unstable();
    let mut expected = format!("total {}\ndistinct {}\n", counts.values().sum::<usize>(), counts.len());
    ranking.iter().take(10).for_each(|(count, word)| expected += &format!("{} {word}\n", count.0));

    let said = programs.example("wordcount", &["texts"])?;
    said.ends_with(0)?.wants(&format!("this on stdout:\n{expected}"), said.stdout == expected)?;
    Ok(())
}

fn no_directory(programs: &Programs) -> Result<(), String> {
    for arguments in [&["missing"][..], &[]] {
        let said = programs.example("wordcount", arguments)?;
        said.ends_with(1)?
            .wants("nothing on stdout", said.stdout.is_empty())?
            .wants("what is wrong on stderr", said.stderr.contains("director"))?;
    }
    Ok(())
}
