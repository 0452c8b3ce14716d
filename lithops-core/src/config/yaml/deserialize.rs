//! Reads types of `serde` from a tree. An error has the place of the innermost node that it is about.

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{MapKey, Node, Tree, YamlError};
use crate::config::Value;

impl<'de> Deserializer<'de> for &'de Node {
    type Error = YamlError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        let read = match &self.tree {
            Tree::Scalar(Value::Null) => visitor.visit_unit(),
            Tree::Scalar(Value::Bool(value)) => visitor.visit_bool(*value),
            Tree::Scalar(Value::Int(value)) => visitor.visit_i64(*value),
            Tree::Scalar(Value::Float(value)) => visitor.visit_f64(*value),
            Tree::Scalar(Value::String(text)) => visitor.visit_borrowed_str(text),
            // A scalar of the tree is neither.
            Tree::Scalar(Value::List(_) | Value::Map(_)) => visitor.visit_unit(),
            Tree::List(nodes) => visitor.visit_seq(Nodes(nodes.iter())),
            Tree::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), node: None }),
        };
        read.map_err(|error| error.at(self.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        match &self.tree {
            Tree::Scalar(Value::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, YamlError> {
        visitor.visit_newtype_struct(self)
    }

    /// A variant without content is its name; one with content is a mapping of one key.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, YamlError> {
        let read = match &self.tree {
            Tree::Scalar(Value::String(name)) => {
                let name: de::value::StrDeserializer<'_, YamlError> = name.as_str().into_deserializer();
                visitor.visit_enum(name)
            }
            Tree::Map(entries) => {
                let entries = Entries { entries: entries.iter(), node: None };
                visitor.visit_enum(de::value::MapAccessDeserializer::new(entries))
            }
            _ => Err(de::Error::custom("this is not the name of a variant")),
        };
        read.map_err(|error: YamlError| error.at(self.place))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

struct Nodes<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Nodes<'de> {
    type Error = YamlError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, YamlError> {
        self.0.next().map(|node| seed.deserialize(node).map_err(|error| error.at(node.place))).transpose()
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, (MapKey, Node)>,
    /// The node of the key that was read last.
    node: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = YamlError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, YamlError> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        self.node = Some(node);
        let name: de::value::StrDeserializer<'_, YamlError> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|error| error.at(key.place))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, YamlError> {
        let node =
            self.node.take().ok_or_else(|| <YamlError as de::Error>::custom("a value without a key"))?;
        seed.deserialize(node).map_err(|error| error.at(node.place))
    }
}
