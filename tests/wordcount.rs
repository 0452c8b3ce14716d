//! The `wordcount` example on generated files, beside a count that is made another way.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

#[test]
fn the_counts_are_those_of_another_count() {
    let directory = tempfile::tempdir().expect("a directory");
    let texts = texts();
    for (name, text) in &texts {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let output = run(&[directory.path()]);
    assert!(output.status.success(), "{output:?}");
    let expected = expected(texts.iter().map(|(_, text)| text.as_slice()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn what_cannot_be_counted_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing");
    for (arguments, words) in [
        (vec![missing.as_path()], "cannot read directory"),
        (vec![], "no directory was given"),
        (vec![directory.path()], "there are no files in it"),
    ] {
        let output = run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words) && output.stdout.is_empty(), "{output:?}");
    }
}

fn run(arguments: &[&Path]) -> Output {
    Command::new(example()).args(arguments).output().expect("the example starts")
}

/// The built example, beside the folder of the test programs. `cargo test` builds it too, unless one test is named.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let folder = test.parent().and_then(Path::parent).expect("a target folder");
    let example = folder.join("examples/wordcount");
    if !example.exists() {
        let release = folder.ends_with("release").then_some("--release");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", "wordcount"])
            .args(release)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.is_ok_and(|status| status.success()) && example.exists(), "the example does not build");
    }
    example
}

/// Files of many sizes: nested, empty, without a final newline, with other scripts, and one that is not UTF-8.
fn texts() -> Vec<(String, Vec<u8>)> {
    let words =
        ["the", "The", "cat", "can't", "Straße", "ΣΊΣΥΦΟΣ", "naïve", "42", "x_y", "e-mail", "漢字", "…"];
    let separators = [" ", "\n", "\t", ", ", "--", "\r\n"];
    let mut seed = 7_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut texts = vec![
        ("empty.txt".to_owned(), Vec::new()),
        ("not-utf8.txt".to_owned(), b"caf\xe9 and caf\xe9\xe9bar".to_vec()),
        ("deep/er/one.txt".to_owned(), b"one".to_vec()),
    ];
    for file in 0..40 {
        let mut text = String::new();
        for _ in 0..random(400) {
            text += words[random(words.len())];
            text += separators[random(separators.len())];
        }
        texts.push((format!("folder-{}/file-{file}.txt", file % 3), text.into_bytes()));
    }
    texts
}

/// The same count, letter by letter.
fn expected<'a>(texts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut counts = HashMap::<String, u64>::new();
    for text in texts {
        let mut word = String::new();
        for letter in String::from_utf8_lossy(text).chars().chain([' ']) {
            if letter.is_alphanumeric() {
                word.push(letter);
            } else if !word.is_empty() {
                *counts.entry(std::mem::take(&mut word).to_lowercase()).or_default() += 1;
            }
        }
    }
    let mut ranking: Vec<_> = counts.iter().map(|(word, count)| (*count, word.as_str())).collect();
    ranking.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)));
    let mut lines =
        vec![format!("total {}", counts.values().sum::<u64>()), format!("distinct {}", counts.len())];
    lines.extend(ranking.iter().take(10).map(|(count, word)| format!("{count} {word}")));
    lines.join("\n") + "\n"
}
