//! Types that are made at random: serde's whole data model, written and read as a derived type does it.

use std::fmt;

use serde::{
    Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor},
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleVariant,
    },
};

use lithops_core::value::{Decoder, encode};

use super::{Random, Sample};

const NAMES: [&str; 6] =
    ["a", "bc", "snake_case_name", "Ünïcode", "a name that is longer than thirty-one bytes", "x y"];

/// A type.
#[derive(Debug)]
enum Type {
    Bool,
    Int,
    Big,
    Float,
    Char,
    Text,
    Bytes,
    Unit,
    Option(Box<Type>),
    Newtype(Box<Type>),
    Seq(Box<Type>),
    Tuple(Vec<Type>),
    Map(Box<Type>, Box<Type>),
    Struct(Vec<Type>),
    /// A unit variant, a newtype variant, a tuple variant and a struct variant.
    Enum(Box<Type>, Vec<Type>),
}

/// A value of one.
#[derive(Debug, PartialEq)]
enum Value {
    Bool(bool),
    Int(i64),
    Big(i128),
    Float(f64),
    Char(char),
    Text(String),
    Bytes(Vec<u8>),
    Unit,
    Option(Option<Box<Value>>),
    Newtype(Box<Value>),
    All(Vec<Value>),
    Map(Vec<(Value, Value)>),
    /// What a struct leaves out is none.
    Fields(Vec<Option<Value>>),
    Variant(u32, Vec<Value>),
}

/// Tries a value of a type; what went wrong.
pub(crate) fn try_one(random: &mut Random) -> Option<String> {
    let of = type_of(random, 4);
    let sent = value_of(&of, random);
    let encoded = match encode(&Typed(&of, &sent)) {
        Ok(encoded) => encoded,
        Err(error) => return Some(format!("{sent:?} does not encode: {error}")),
    };
    let mut decoder = Decoder::new(&encoded);
    match decoder.value_of(&of) {
        Ok(received) if received == sent => None,
        Ok(received) => Some(format!("{sent:?} came back as {received:?} from {encoded:02x?}")),
        Err(error) => Some(format!("{sent:?} does not decode from {encoded:02x?}: {error}")),
    }
}

fn type_of(random: &mut Random, depth: usize) -> Type {
    let some = |random: &mut Random| Box::new(type_of(random, depth - 1));
    let several = |random: &mut Random| (0..random.below(5)).map(|_| type_of(random, depth - 1)).collect();
    match random.below(if depth == 0 { 8 } else { 15 }) {
        0 => Type::Bool,
        1 => Type::Int,
        2 => Type::Big,
        3 => Type::Float,
        4 => Type::Char,
        5 => Type::Text,
        6 => Type::Bytes,
        7 => Type::Unit,
        8 => Type::Option(some(random)),
        9 => Type::Newtype(some(random)),
        10 => Type::Seq(some(random)),
        11 => Type::Tuple(several(random)),
        12 => Type::Map(some(random), some(random)),
        13 => Type::Struct(several(random)),
        _ => Type::Enum(some(random), several(random)),
    }
}

fn value_of(of: &Type, random: &mut Random) -> Value {
    let all = |types: &[Type], random: &mut Random| types.iter().map(|of| value_of(of, random)).collect();
    match of {
        Type::Bool => Value::Bool(random.chance()),
        Type::Int => Value::Int(i64::sample(random)),
        Type::Big => Value::Big(i128::sample(random)),
        Type::Float => Value::Float(f64::sample(random)),
        Type::Char => Value::Char(char::sample(random)),
        Type::Text => Value::Text(String::sample(random)),
        Type::Bytes => Value::Bytes((0..random.below(40)).map(|_| random.next() as u8).collect()),
        Type::Unit => Value::Unit,
        Type::Option(of) => Value::Option(random.chance().then(|| Box::new(value_of(of, random)))),
        Type::Newtype(of) => Value::Newtype(Box::new(value_of(of, random))),
        Type::Seq(of) => Value::All((0..random.below(20)).map(|_| value_of(of, random)).collect()),
        Type::Tuple(types) => Value::All(all(types, random)),
        Type::Map(key, of) => {
            Value::Map((0..random.below(20)).map(|_| (value_of(key, random), value_of(of, random))).collect())
        }
        Type::Struct(types) => {
            Value::Fields(types.iter().map(|of| random.chance().then(|| value_of(of, random))).collect())
        }
        Type::Enum(one, types) => match random.below(4) {
            0 => Value::Variant(0, Vec::new()),
            1 => Value::Variant(1, vec![value_of(one, random)]),
            variant => Value::Variant(variant as u32, all(types, random)),
        },
    }
}

const VARIANTS: [&str; 4] = ["Unit", "Newtype", "Tuple", "Struct"];

struct Typed<'a>(&'a Type, &'a Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (_, Value::Bool(value)) => serializer.serialize_bool(*value),
            (_, Value::Int(value)) => serializer.serialize_i64(*value),
            (_, Value::Big(value)) => serializer.serialize_i128(*value),
            (_, Value::Float(value)) => serializer.serialize_f64(*value),
            (_, Value::Char(value)) => serializer.serialize_char(*value),
            (_, Value::Text(value)) => serializer.serialize_str(value),
            (_, Value::Bytes(value)) => serializer.serialize_bytes(value),
            (_, Value::Unit) => serializer.serialize_unit(),
            (_, Value::Option(None)) => serializer.serialize_none(),
            (Type::Option(of), Value::Option(Some(value))) => serializer.serialize_some(&Typed(of, value)),
            (Type::Newtype(of), Value::Newtype(value)) => {
                serializer.serialize_newtype_struct("Newtype", &Typed(of, value))
            }
            (Type::Seq(of), Value::All(values)) => {
                let mut seq = serializer.serialize_seq((values.len() % 2 == 0).then_some(values.len()))?;
                values.iter().try_for_each(|value| seq.serialize_element(&Typed(of, value)))?;
                seq.end()
            }
            (Type::Tuple(types), Value::All(values)) => {
                let mut tuple = serializer.serialize_tuple(values.len())?;
                let mut parts = types.iter().zip(values);
                parts.try_for_each(|(of, value)| tuple.serialize_element(&Typed(of, value)))?;
                tuple.end()
            }
            (Type::Map(key, of), Value::Map(entries)) => {
                let mut map = serializer.serialize_map((entries.len() % 3 != 0).then_some(entries.len()))?;
                let mut entries = entries.iter();
                entries.try_for_each(|(k, value)| map.serialize_entry(&Typed(key, k), &Typed(of, value)))?;
                map.end()
            }
            (Type::Struct(types), Value::Fields(fields)) => {
                let there = fields.iter().flatten().count();
                let mut written = serializer.serialize_struct("Struct", there)?;
                for ((name, of), value) in NAMES.iter().zip(types).zip(fields) {
                    match value {
                        Some(value) => written.serialize_field(name, &Typed(of, value))?,
                        None => written.skip_field(name)?,
                    }
                }
                written.end()
            }
            (Type::Enum(one, types), Value::Variant(number, values)) => {
                let name = VARIANTS[*number as usize];
                match number {
                    0 => serializer.serialize_unit_variant("Enum", 0, name),
                    1 => serializer.serialize_newtype_variant("Enum", 1, name, &Typed(one, &values[0])),
                    2 => {
                        let mut tuple = serializer.serialize_tuple_variant("Enum", 2, name, values.len())?;
                        let mut parts = types.iter().zip(values);
                        parts.try_for_each(|(of, value)| tuple.serialize_field(&Typed(of, value)))?;
                        tuple.end()
                    }
                    _ => {
                        let mut fields =
                            serializer.serialize_struct_variant("Enum", 3, name, values.len())?;
                        for ((name, of), value) in NAMES.iter().zip(types).zip(values) {
                            fields.serialize_field(name, &Typed(of, value))?;
                        }
                        fields.end()
                    }
                }
            }
            (of, value) => panic!("{value:?} is no {of:?}"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &Type {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Type::Bool => deserializer.deserialize_bool(self),
            Type::Int => deserializer.deserialize_i64(self),
            Type::Big => deserializer.deserialize_i128(self),
            Type::Float => deserializer.deserialize_f64(self),
            Type::Char => deserializer.deserialize_char(self),
            Type::Text => deserializer.deserialize_string(self),
            Type::Bytes => deserializer.deserialize_byte_buf(self),
            Type::Unit => deserializer.deserialize_unit(self),
            Type::Option(_) => deserializer.deserialize_option(self),
            Type::Newtype(_) => deserializer.deserialize_newtype_struct("Newtype", self),
            Type::Seq(_) => deserializer.deserialize_seq(self),
            Type::Tuple(types) => deserializer.deserialize_tuple(types.len(), self),
            Type::Map(..) => deserializer.deserialize_map(self),
            Type::Struct(types) => deserializer.deserialize_struct("Struct", &NAMES[..types.len()], self),
            Type::Enum(..) => deserializer.deserialize_enum("Enum", &VARIANTS, self),
        }
    }
}

/// The number of a field or a variant.
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<usize, E> {
        self.0.iter().position(|known| *known == name).ok_or_else(|| E::unknown_field(name, self.0))
    }
}

fn all_of<'de, A: SeqAccess<'de>>(types: &[Type], elements: &mut A) -> Result<Vec<Value>, A::Error> {
    let missing = |number| A::Error::invalid_length(number, &"more");
    types
        .iter()
        .enumerate()
        .map(|(number, of)| elements.next_element_seed(of)?.ok_or_else(|| missing(number)))
        .collect()
}

fn fields_of<'de, A: MapAccess<'de>>(types: &[Type], map: &mut A) -> Result<Vec<Option<Value>>, A::Error> {
    let mut fields: Vec<_> = types.iter().map(|_| None).collect();
    while let Some(number) = map.next_key_seed(Name(&NAMES[..types.len()]))? {
        fields[number] = Some(map.next_value_seed(&types[number])?);
    }
    Ok(fields)
}

impl<'de> Visitor<'de> for &Type {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Big(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(match self {
            Type::Char => Value::Char(text.chars().next().expect("one")),
            _ => Value::Text(text.to_owned()),
        })
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Unit)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Option(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Type::Option(of) = self else { return Err(D::Error::custom("no option")) };
        of.deserialize(deserializer).map(|value| Value::Option(Some(Box::new(value))))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Type::Newtype(of) = self else { return Err(D::Error::custom("no newtype")) };
        of.deserialize(deserializer).map(|value| Value::Newtype(Box::new(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        match self {
            Type::Seq(of) => {
                let mut all = Vec::new();
                while let Some(value) = elements.next_element_seed(&**of)? {
                    all.push(value);
                }
                Ok(Value::All(all))
            }
            Type::Tuple(types) => all_of(types, &mut elements).map(Value::All),
            _ => Err(A::Error::custom("no sequence")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        match self {
            Type::Map(key, of) => {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key_seed(&**key)? {
                    entries.push((key, map.next_value_seed(&**of)?));
                }
                Ok(Value::Map(entries))
            }
            Type::Struct(types) => fields_of(types, &mut map).map(Value::Fields),
            _ => Err(A::Error::custom("no map")),
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variants: A) -> Result<Value, A::Error> {
        let Type::Enum(one, types) = self else { return Err(A::Error::custom("no enum")) };
        let (number, content) = variants.variant_seed(Name(&VARIANTS))?;
        let values = match number {
            0 => content.unit_variant().map(|()| Vec::new()),
            1 => content.newtype_variant_seed(&**one).map(|value| vec![value]),
            2 => content.tuple_variant(types.len(), Parts(types)),
            _ => content.struct_variant(&NAMES[..types.len()], Parts(types)),
        };
        Ok(Value::Variant(number as u32, values?))
    }
}

/// The content of a variant.
struct Parts<'a>(&'a [Type]);

impl<'de> Visitor<'de> for Parts<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the content of a variant")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<Value>, A::Error> {
        all_of(self.0, &mut elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Value>, A::Error> {
        fields_of(self.0, &mut map).map(|fields| fields.into_iter().flatten().collect())
    }
}
