//! What texts are read as, and the place of what is wrong with others.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Problem, read};
use crate::config::Value;

fn value(text: &str) -> Value {
    read(text).unwrap().into()
}

fn problem(text: &str) -> (Problem, u64, u64) {
    let error = read(text).unwrap_err();
    let place = error.place.unwrap();
    (error.problem, place.line, place.column)
}

#[test]
fn scalars_follow_the_core_schema() {
    for (text, expected) in [
        ("0", Value::Int(0)),
        ("-17", Value::Int(-17)),
        ("+3", Value::Int(3)),
        ("0x1F", Value::Int(31)),
        ("0o17", Value::Int(15)),
        ("1.", Value::Float(1.0)),
        (".5", Value::Float(0.5)),
        ("-1.5e-3", Value::Float(-0.0015)),
        ("1e3", Value::Float(1000.0)),
        ("-.inf", Value::Float(f64::NEG_INFINITY)),
        ("9223372036854775807", Value::Int(i64::MAX)),
        ("-9223372036854775808", Value::Int(i64::MIN)),
        ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
        ("!!str 3", "3".into()),
        ("!!int '3'", Value::Int(3)),
        ("'3'", "3".into()),
        ("|\n  two\n  lines\n", "two\nlines\n".into()),
        ("True", Value::Bool(true)),
        ("NULL", Value::Null),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
    for text in
        ["inf", "nan", "infinity", "1_000", "0123", "-012", "0x", "0xg", ".", "+", "e3", "1e", "2m", "yes"]
    {
        assert_eq!(value(&format!("[{text}]")), Value::List(vec![text.into()]), "{text}");
    }
    assert!(matches!(value(".nan"), Value::Float(nan) if nan.is_nan()));
}

#[test]
fn anchors_are_followed_and_mappings_merged() {
    let text = "a: &a {x: 1, v: [2]}\nb: *a\nc: {<<: *a, x: 3}\nd: {<<: [{z: 5}, *a]}\n'<<': text\n";
    assert_eq!(
        value(text).to_string(),
        r#"{"<<": text, a: {v: [2], x: 1}, b: {v: [2], x: 1}, c: {v: [2], x: 3}, d: {v: [2], x: 1, z: 5}}"#
    );
    assert_eq!(problem("a: &a [*a]").0, Problem::Other("an alias stands within its own anchor".to_owned()));
    assert_eq!(problem("a: *b").1, 1);
    assert_eq!(problem("a: {<<: 3}").2, 9);
}

#[test]
fn aliases_of_aliases_are_bounded() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
    }
    assert_eq!(problem(&text).0, Problem::Other("aliases make the document too large".to_owned()));
    assert!(read(&"[".repeat(100_000)).is_err());
    assert!(read(&"a:\n ".repeat(100_000)).is_err());
}

#[test]
fn comments_may_stand_anywhere() {
    let text =
        "# first\na: 1 # one\n# between\nb:\n  # below\n  - x # item\n  # after\nc: {d: 2} # flow\n# last\n";
    assert_eq!(value(text).to_string(), "{a: 1, b: [x], c: {d: 2}}");
    assert_eq!(value("# nothing\n"), Value::Null);
}

#[test]
fn problems_have_their_place() {
    assert_eq!(problem("a: 1\nb:\n  c: 1\n  c: 2\n"), (Problem::DuplicateKey("c".into()), 4, 3));
    assert_eq!(problem("a: 1\n---\nb: 2\n"), (Problem::SecondDocument, 2, 1));
    assert_eq!(problem("a:\n  ~: 1\n"), (Problem::NullKey, 2, 3));
    assert_eq!(problem("a:\n\tb: 1\n").0, Problem::Tab);
    assert_eq!(problem("? [a]\n: 1\n").0, Problem::Other("a key is a list or a mapping".into()));
    let (problem, line, column) = problem("a: !secret hunter2");
    assert_eq!(
        (problem, line, column),
        (Problem::Other("the tag `!secret` has no meaning here".into()), 1, 12)
    );
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    name: String,
    count: Option<u32>,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    of: BTreeMap<String, f64>,
}

#[derive(Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Plain,
    Sized(u64),
}

#[test]
fn types_are_read_from_it_and_errors_name_the_line() {
    let data = |text: &str| Data::deserialize(&read(text).unwrap());
    let expected =
        Data { name: "n".into(), count: None, kind: Kind::Sized(3), of: [("x".into(), 1.0)].into() };
    assert_eq!(data("name: n\ncount: ~\nkind: {sized: 3}\nof: {x: 1}").unwrap(), expected);
    assert_eq!(data("name: n\nkind: plain").unwrap().kind, Kind::Plain);
    for (text, line, words) in [
        ("name: n\ncount: x\n", 2, "invalid type: string \"x\", expected u32"),
        ("name: n\nkind: other\n", 2, "unknown variant `other`"),
        ("name: n\nof:\n  x: 1\n  y: z\n", 4, "invalid type: string \"z\", expected f64"),
        ("name: n\nnames: 3\n", 2, "unknown field `names`"),
        ("count: 3\n", 1, "missing field `name`"),
    ] {
        let error = data(text).unwrap_err();
        assert_eq!(error.place.unwrap().line, line, "{error}");
        assert!(error.to_string().starts_with(words), "{error}");
    }
}
