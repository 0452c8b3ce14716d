//! Derived types: each attribute that serde has for containers, variants and fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Random, Sample, leaves::Nothing};

/// Makes a type and its samples; enums list a sample for each variant.
macro_rules! shape {
    ($(#[$attribute:meta])* struct $Name:ident<$($P:ident),*> exact($exact:expr) { $($(#[$field:meta])* $part:ident: $Part:ty = $value:expr),* $(,)? }) => {
        #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
        $(#[$attribute])*
        pub(crate) struct $Name<$($P),*> { $($(#[$field])* $part: $Part),* }

        impl<$($P: Sample),*> Sample for $Name<$($P),*> {
            const EXACT: bool = $exact $(&& $P::EXACT)*;

            fn sample(random: &mut Random) -> Self {
                let _ = &random;
                Self { $($part: $value(random)),* }
            }
        }
    };
    ($(#[$attribute:meta])* enum $Name:ident<$($P:ident),*> exact($exact:expr) { $($body:tt)* } samples |$random:ident| [$($sample:expr),* $(,)?]) => {
        #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
        $(#[$attribute])*
        pub(crate) enum $Name<$($P),*> { $($body)* }

        impl<$($P: Sample),*> Sample for $Name<$($P),*> {
            const EXACT: bool = $exact $(&& $P::EXACT)*;

            fn sample($random: &mut Random) -> Self {
                let samples: &[fn(&mut Random) -> Self] = &[$(|$random| {
                    let _ = &$random;
                    $sample
                }),*];
                samples[$random.below(samples.len())]($random)
            }
        }
    };
}

fn any<T: Sample>(random: &mut Random) -> T {
    T::sample(random)
}

fn default<T: Default>(_: &mut Random) -> T {
    T::default()
}

/// Keys that no field has.
fn foreign<T: Sample>(random: &mut Random) -> BTreeMap<String, T> {
    (0..random.below(3)).map(|_| (format!("x{}", random.below(50)), any(random))).collect()
}

shape!(struct Named<A, B> exact(true) { first: A = any, second: B = any });
shape!(
    #[serde(rename_all = "SCREAMING-KEBAB-CASE", deny_unknown_fields)]
    struct Renamed<A, B> exact(true) {
        #[serde(rename = "1")] one_part: A = any,
        #[serde(alias = "other", alias = "another")] other_part: B = any,
    }
);
shape!(
    #[serde(rename_all(serialize = "camelCase", deserialize = "camelCase"), bound(deserialize = "A: Deserialize<'de>"))]
    struct Skipped<A> exact(true) {
        #[serde(default, skip_serializing_if = "Option::is_none")] low_part: Option<A> = any,
        #[serde(default, skip_serializing_if = "Option::is_none")] high_part: Option<A> = |random: &mut Random| random.chance().then(|| any(random)),
        #[serde(default, skip_serializing_if = "Vec::is_empty")] all: Vec<A> = any,
        last: u8 = any,
    }
);
shape!(
    struct Left<A> exact(true) {
        #[serde(skip)] cache: Vec<u8> = default,
        #[serde(skip_serializing, default)] unsent: u32 = default,
        kept: A = any,
        #[serde(skip_deserializing)] unread: String = default,
        last: Nothing = any,
    }
);
shape!(struct Flat<A> exact(true) {
    id: u32 = any,
    #[serde(flatten)] inner: Named<A, Option<A>> = any,
    last: Option<u8> = any,
    #[serde(flatten)] rest: BTreeMap<String, A> = foreign,
});
shape!(struct FlatTagged<A> exact(true) { id: i64 = any, #[serde(flatten)] kind: Internal<A> = any });
shape!(struct FlatAdjacent<A> exact(true) { #[serde(flatten)] kind: Adjacent<A, A> = any, id: char = any });
shape!(struct FlatExternal<A> exact(true) { id: bool = any, #[serde(flatten)] kind: Solid<A> = any });
shape!(#[serde(tag = "type")] struct TaggedStruct<A, B> exact(true) { first: A = any, second: B = any });
shape!(
    #[serde(bound(deserialize = "A: Deserialize<'de>, B: Deserialize<'de>"))]
    enum External<A, B> exact(true) {
        Unit,
        Newtype(A),
        Tuple(A, B),
        Fields { first: A, #[serde(default, skip_serializing_if = "Option::is_none")] maybe: Option<B>, last: u8 },
        #[serde(rename = "renamed variant", rename_all = "camelCase")]
        Renamed { a_part: B },
        Nothing(),
        Braces {},
        OfUnit(()),
    } samples |random| [
        External::Unit,
        External::Newtype(any(random)),
        External::Tuple(any(random), any(random)),
        External::Fields { first: any(random), maybe: random.chance().then(|| any(random)), last: any(random) },
        External::Renamed { a_part: any(random) },
        External::Nothing(),
        External::Braces {},
        External::OfUnit(()),
    ]
);
shape!(
    /// What can be flattened: every variant is a map.
    enum Solid<A> exact(true) { Newtype(A), Fields { first: A, second: Option<A> } }
    samples |random| [
        Solid::Newtype(any(random)),
        Solid::Fields { first: any(random), second: any(random) },
    ]
);
shape!(
    #[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase", bound(deserialize = "A: Deserialize<'de>"))]
    enum Internal<A> exact(true) {
        Unit,
        Fields { first_part: A, #[serde(default, skip_serializing_if = "Option::is_none")] maybe: Option<A>, last: u8 },
        Newtype(Named<A, Option<A>>),
        Map(BTreeMap<String, A>),
        OfNothing(Nothing),
        #[serde(other)]
        Other,
    } samples |random| [
        Internal::Unit,
        Internal::Fields { first_part: any(random), maybe: random.chance().then(|| any(random)), last: any(random) },
        Internal::Newtype(any(random)),
        Internal::Map(foreign(random)),
        Internal::OfNothing(Nothing),
        Internal::Other,
    ]
);
shape!(
    #[serde(tag = "t", content = "c")]
    enum Adjacent<A, B> exact(true) {
        Unit, Newtype(A), Tuple(A, B), Fields { first: A, second: B }, Maybe(Option<B>),
    } samples |random| [
        Adjacent::Unit,
        Adjacent::Newtype(any(random)),
        Adjacent::Tuple(any(random), any(random)),
        Adjacent::Fields { first: any(random), second: any(random) },
        Adjacent::Maybe(any(random)),
    ]
);
shape!(
    /// Of a value that several variants can read, JSON says which is right.
    #[serde(untagged)]
    enum Untagged<A, B> exact(false) {
        Text(String), Fields { x: A, y: B }, First(A), List(Vec<A>), Pair(A, B), Second(B), Unit,
    } samples |random| [
        Untagged::Text(any(random)),
        Untagged::Fields { x: any(random), y: any(random) },
        Untagged::First(any(random)),
        Untagged::List(any(random)),
        Untagged::Pair(any(random), any(random)),
        Untagged::Second(any(random)),
        Untagged::Unit,
    ]
);
shape!(
    enum OneUntagged<A> exact(false) { Known(A), Unit, #[serde(untagged)] Any(A), #[serde(untagged)] Number(i64) }
    samples |random| [
        OneUntagged::Known(any(random)),
        OneUntagged::Unit,
        OneUntagged::Any(any(random)),
        OneUntagged::Number(any(random)),
    ]
);

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
pub(crate) struct Newtype<A>(A);

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
pub(crate) struct Pair<A, B>(A, #[serde(default)] B);

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Transparent<A> {
    only: A,
    #[serde(skip)]
    cache: u8,
}

/// A list of itself without a map or an array between.
#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
pub(crate) struct Onion(Option<Box<Onion>>);

/// As `Vec<A>`, by conversion.
#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
#[serde(from = "Vec<A>", into = "Vec<A>")]
pub(crate) struct Converted<A: Clone>(Vec<A>);

impl<A: Clone> From<Vec<A>> for Converted<A> {
    fn from(all: Vec<A>) -> Self {
        Self(all)
    }
}

impl<A: Clone> From<Converted<A>> for Vec<A> {
    fn from(all: Converted<A>) -> Self {
        all.0
    }
}

/// Fields that functions write: one by text, one with a number of fields that is announced wrongly.
#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
#[serde(default, expecting = "words of our own")]
pub(crate) struct Written<A: Default> {
    #[serde(with = "text")]
    wide: u128,
    lying: Lying,
    plain: A,
}

impl<A: Default> Default for Written<A> {
    fn default() -> Self {
        Self { wide: 0, lying: Lying { first: 0, second: None }, plain: A::default() }
    }
}

mod text {
    use super::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Announces two fields whether it writes them or not, and a sequence whose length is unknown.
#[derive(Debug, PartialEq, Clone, Default, Deserialize)]
pub(crate) struct Lying {
    first: u8,
    #[serde(default)]
    second: Option<Vec<u8>>,
}

impl Serialize for Lying {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{SerializeSeq, SerializeStruct};
        struct Unknown<'a>(&'a [u8]);
        impl Serialize for Unknown<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut all = serializer.serialize_seq(None)?;
                self.0.iter().try_for_each(|byte| all.serialize_element(byte))?;
                all.end()
            }
        }
        let mut fields = serializer.serialize_struct("Lying", 2)?;
        fields.serialize_field("first", &self.first)?;
        if let Some(all) = &self.second {
            fields.serialize_field("second", &Unknown(all))?;
        }
        fields.end()
    }
}

impl<A: Sample> Sample for Newtype<A> {
    const EXACT: bool = A::EXACT;

    fn sample(random: &mut Random) -> Self {
        Self(any(random))
    }
}

impl<A: Sample, B: Sample + Default> Sample for Pair<A, B> {
    const EXACT: bool = A::EXACT && B::EXACT;

    fn sample(random: &mut Random) -> Self {
        Self(any(random), any(random))
    }
}

impl<A: Sample> Sample for Transparent<A> {
    const EXACT: bool = A::EXACT;

    fn sample(random: &mut Random) -> Self {
        Self { only: any(random), cache: 0 }
    }
}

impl Sample for Onion {
    fn sample(random: &mut Random) -> Self {
        let layers = if random.below(20) == 0 { 90 } else { random.below(5) };
        (0..layers).fold(Self(None), |within, _| Self(Some(Box::new(within))))
    }
}

impl<A: Sample + Clone> Sample for Converted<A> {
    const EXACT: bool = A::EXACT;

    fn sample(random: &mut Random) -> Self {
        Self(any(random))
    }
}

impl<A: Sample + Default> Sample for Written<A> {
    const EXACT: bool = A::EXACT;

    fn sample(random: &mut Random) -> Self {
        let long = random.below(100);
        let second = random.chance().then(|| (0..long).map(|_| random.next() as u8).collect());
        Self { wide: any(random), lying: Lying { first: any(random), second }, plain: any(random) }
    }
}
