//! The forms of values byte by byte, and malformed values.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{bytes::Bytes, value::*};

fn bytes<T: Serialize>(value: T) -> Vec<u8> {
    encode(&value).expect("encodes")
}

fn back<T: Serialize + DeserializeOwned>(value: &T) -> T {
    decode(&encode(value).expect("encodes")).expect("decodes")
}

#[test]
fn the_forms_are_those_of_the_document() {
    #[derive(Serialize)]
    struct Point {
        x: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        y: Option<i32>,
    }
    #[derive(Serialize)]
    enum Shape {
        Nothing,
        Round(u8),
    }
    assert_eq!(bytes(Point { x: -1, y: None }), b"\x81\xa1x\xff");
    assert_eq!(bytes(Point { x: 5, y: Some(200) }), b"\x82\xa1x\x05\xa1y\xcc\xc8");
    assert_eq!(bytes(Shape::Nothing), b"\xa7Nothing");
    assert_eq!(bytes(Shape::Round(3)), b"\x81\xa5Round\x03");
    assert_eq!(bytes(()), [0xc0]);
    assert_eq!(bytes(None::<u8>), [0xc0]);
    assert_eq!(bytes(Some(7)), [7]);
    assert_eq!(bytes(Some(None::<u8>)), [0xd4, 1, 0xc0]);
    assert_eq!(bytes(Some(())), [0xd4, 1, 0xc0]);
    assert_eq!(bytes(Some(Some(()))), [0xc7, 3, 1, 0xd4, 1, 0xc0]);
    assert_eq!(bytes(1u128), [1]);
    assert_eq!(bytes(u128::MAX), [&[0xd8, 2][..], &[0xff; 16]].concat());
    assert_eq!(bytes(i128::MIN), [&[0xd8, 3, 0x80][..], &[0; 15]].concat());
    assert_eq!(bytes(Bytes::from(vec![9, 9])), [0xc4, 2, 9, 9]);
    assert_eq!(bytes("10.0.0.1".parse::<IpAddr>().expect("an address")), b"\xa810.0.0.1");
    assert_eq!(bytes((1u8, "a")), b"\x92\x01\xa1a");
}

#[test]
fn the_limits_of_each_form_come_back() {
    for length in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        let text = "x".repeat(length);
        assert_eq!(back(&text), text);
        let list: Vec<u8> = vec![1; length];
        assert_eq!(back(&list), list);
        let data = Bytes::from(list);
        assert_eq!(back(&data), data);
        let map: HashMap<u32, ()> = (0..length as u32).map(|key| (key, ())).collect();
        assert_eq!(back(&map), map);
    }
    for value in
        (0..64).flat_map(|bit| [1i64 << bit, (1i64 << bit).wrapping_neg(), (1i64 << bit).wrapping_sub(1)])
    {
        assert_eq!(back(&value), value);
        assert_eq!(back(&(value as u64)), value as u64);
    }
    assert!(back(&f64::NAN).is_nan());
}

#[test]
fn what_an_earlier_version_wrote_is_read() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        id: u64,
        unit: Unit,
        wide: u128,
        kind: Kind,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Nothing,
        Two(u8, u8),
    }
    let record = Record { id: 1, unit: Unit, wide: 1 << 100, kind: Kind::Two(1, 2) };
    assert_eq!(decode::<Record>(&rmp_serde::to_vec(&record).expect("encodes")).expect("decodes"), record);
    let record = Record { kind: Kind::Nothing, ..record };
    assert_eq!(
        decode::<Record>(&rmp_serde::to_vec_named(&record).expect("encodes")).expect("decodes"),
        record
    );
}

#[test]
fn a_type_may_gain_and_lose_fields() {
    #[derive(Serialize)]
    struct Before {
        gone: Vec<Option<u8>>,
        kept: u8,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct After {
        #[serde(default)]
        new: u8,
        newer: Option<String>,
        kept: u8,
    }
    let after = decode::<After>(&bytes(Before { gone: vec![None, Some(1)], kept: 4 })).expect("decodes");
    assert_eq!(after, After { new: 0, newer: None, kept: 4 });
}

#[test]
fn bytes_that_are_text_are_no_string_where_serde_chooses_the_variant() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Payload {
        Text(String),
        Data(Bytes),
    }
    for data in [&b"text"[..], &[0xff, 0xfe], b""] {
        let sent = Payload::Data(Bytes::from(data.to_vec()));
        assert_eq!(back(&sent), sent);
    }
    let text = Payload::Text("text".into());
    assert_eq!(back(&text), text);
}

#[test]
fn json_of_any_kind_comes_back() {
    let raw = serde_json::json!({ "a": [1, -2, 3.5, null, { "b": "c" }], "$serde": false });
    assert_eq!(back(&raw), raw);
    assert_eq!(back(&Some(serde_json::Value::Null)), Some(serde_json::Value::Null));
}

#[test]
fn what_serde_itself_cannot_do_is_said() {
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Amount {
        Exact { wei: u128 },
    }
    for wei in [5, u128::MAX] {
        let encoded = bytes(Amount::Exact { wei });
        let error = decode::<Amount>(&encoded).expect_err("serde refuses it for every format");
        assert!(
            error.to_string().contains("; serde supports no 128-bit integers below `flatten`"),
            "{error}"
        );
    }
}

#[test]
fn half_a_value_and_more_than_one_are_errors() {
    type Shape = BTreeMap<String, (u64, Option<Option<()>>, Vec<f64>, Bytes, i128)>;
    let value = (300, Some(None), vec![1.5], Bytes::from(vec![1; 300]), i128::MIN);
    let encoded = bytes(Shape::from([("key".to_owned(), value)]));
    for length in 0..encoded.len() {
        assert!(decode::<Shape>(&encoded[..length]).is_err(), "{length} bytes of {}", encoded.len());
    }
    let more = [&encoded[..], &[0]].concat();
    assert_eq!(
        decode::<Shape>(&more).expect_err("more").to_string(),
        "the encoded value is malformed: more bytes follow the value"
    );
}

#[test]
fn a_length_reserves_nothing() {
    // An array, a map, a text, bytes and an extension, each with a length of 4,294,967,295.
    for marker in [0xdd, 0xdf, 0xdb, 0xc6, 0xc9] {
        let bytes = [marker, 0xff, 0xff, 0xff, 0xff, 1, 1, 1];
        assert!(decode::<serde_json::Value>(&bytes).is_err());
        assert!(decode::<Vec<u64>>(&bytes).is_err());
        assert!(decode::<serde::de::IgnoredAny>(&bytes).is_err());
    }
}

#[test]
fn errors_name_what_is_wrong() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its error is looked at")]
    struct Point {
        x: i32,
    }
    let message = |bytes: &[u8]| decode::<Point>(bytes).expect_err("wrong").to_string();
    assert_eq!(message(b"\x81\xa1x\xa1a"), "invalid type: string \"a\", expected i32");
    assert_eq!(message(b"\x80"), "missing field `x`");
    assert_eq!(message(b"\x81\xa1x"), "the encoded value is cut short");
    assert_eq!(message(b"\x92\x01\x02"), "the type leaves 1 elements unread");
    assert_eq!(message(b"\xc1"), "the encoded value is malformed: a byte that MessagePack does not use");
}
