//! Types without parts of their own, and serde's own containers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    ops::{Bound, Range},
    time::Duration,
};

use lithops_core::bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Random, Sample};

macro_rules! numbers {
    ($($T:ty),*) => {
        $(impl Sample for $T {
            fn sample(random: &mut Random) -> Self {
                let number = random.number() as $T;
                if random.chance() { number } else { (0 as $T).wrapping_sub(number) }
            }
        })*
    };
}

numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

impl Sample for bool {
    fn sample(random: &mut Random) -> Self {
        random.chance()
    }
}

impl Sample for f64 {
    fn sample(random: &mut Random) -> Self {
        match random.below(5) {
            0 => f64::INFINITY,
            1 => -0.0,
            2 => random.below(1000) as f64,
            _ => Some(f64::from_bits(random.next())).filter(|value| !value.is_nan()).unwrap_or(0.1),
        }
    }
}

impl Sample for f32 {
    fn sample(random: &mut Random) -> Self {
        f64::sample(random) as f32
    }
}

impl Sample for char {
    fn sample(random: &mut Random) -> Self {
        ['a', '\0', '\n', 'é', '中', '🦀', '"'][random.below(7)]
    }
}

impl Sample for String {
    fn sample(random: &mut Random) -> Self {
        let length = [0, 1, 3, 31, 32, 33, 255, 256, 300][random.below(9)];
        (0..length).map(|_| char::sample(random)).collect()
    }
}

impl Sample for Bytes {
    fn sample(random: &mut Random) -> Self {
        let text = random.chance();
        let kinds = if random.below(50) == 0 { 6 } else { 4 };
        let length = [0, 1, 16, 40, 256, 70_000][random.below(kinds)];
        (0..length).map(|_| if text { b'x' } else { random.next() as u8 }).collect::<Vec<_>>().into()
    }
}

impl Sample for () {
    fn sample(_: &mut Random) -> Self {}
}

impl Sample for IpAddr {
    fn sample(random: &mut Random) -> Self {
        match random.chance() {
            true => IpAddr::from((random.next() as u32).to_be_bytes()),
            false => IpAddr::from(random.number().to_be_bytes()),
        }
    }
}

impl Sample for SocketAddr {
    fn sample(random: &mut Random) -> Self {
        SocketAddr::new(IpAddr::sample(random), random.next() as u16)
    }
}

impl Sample for Uuid {
    fn sample(random: &mut Random) -> Self {
        Uuid::from_u128(random.number())
    }
}

impl Sample for Duration {
    fn sample(random: &mut Random) -> Self {
        Duration::new(random.next(), random.below(1_000_000_000) as u32)
    }
}

impl Sample for NonZeroU16 {
    fn sample(random: &mut Random) -> Self {
        NonZeroU16::new(random.next() as u16).unwrap_or(NonZeroU16::MIN)
    }
}

impl Sample for serde_json::Value {
    fn sample(random: &mut Random) -> Self {
        match random.below(7) {
            0 => Self::Null,
            1 => random.chance().into(),
            2 => u64::sample(random).into(),
            3 => i64::sample(random).into(),
            4 => String::sample(random).into(),
            5 => (0..random.below(3)).map(|_| Self::sample(random)).collect(),
            _ => (0..random.below(3)).map(|_| (String::sample(random), Self::sample(random))).collect(),
        }
    }
}

#[derive(Debug, PartialEq, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Nothing;

#[derive(Debug, PartialEq, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Empty {}

impl Sample for Nothing {
    fn sample(_: &mut Random) -> Self {
        Self
    }
}

impl Sample for Empty {
    fn sample(_: &mut Random) -> Self {
        Self {}
    }
}

impl<T: Sample> Sample for Option<T> {
    const EXACT: bool = T::EXACT;

    fn sample(random: &mut Random) -> Self {
        random.chance().then(|| T::sample(random))
    }
}

impl<T: Sample> Sample for Box<T> {
    const EXACT: bool = T::EXACT;

    fn sample(random: &mut Random) -> Self {
        Box::new(T::sample(random))
    }
}

impl<T: Sample> Sample for Vec<T> {
    const EXACT: bool = T::EXACT;

    fn sample(random: &mut Random) -> Self {
        let length = if random.below(40) == 0 { 20 } else { random.below(4) };
        (0..length).map(|_| T::sample(random)).collect()
    }
}

impl<T: Sample> Sample for [T; 3] {
    const EXACT: bool = T::EXACT;

    fn sample(random: &mut Random) -> Self {
        std::array::from_fn(|_| T::sample(random))
    }
}

impl<T: Sample, U: Sample> Sample for (T, U) {
    const EXACT: bool = T::EXACT && U::EXACT;

    fn sample(random: &mut Random) -> Self {
        (T::sample(random), U::sample(random))
    }
}

impl<T: Sample, E: Sample> Sample for Result<T, E> {
    const EXACT: bool = T::EXACT && E::EXACT;

    fn sample(random: &mut Random) -> Self {
        if random.chance() { Ok(T::sample(random)) } else { Err(E::sample(random)) }
    }
}

impl<K: Sample + Ord, V: Sample> Sample for BTreeMap<K, V> {
    const EXACT: bool = K::EXACT && V::EXACT;

    fn sample(random: &mut Random) -> Self {
        (0..random.below(4)).map(|_| (K::sample(random), V::sample(random))).collect()
    }
}

impl<T: Sample + Ord> Sample for BTreeSet<T> {
    const EXACT: bool = T::EXACT;

    fn sample(random: &mut Random) -> Self {
        (0..random.below(4)).map(|_| T::sample(random)).collect()
    }
}

impl<T: Sample> Sample for Range<T> {
    const EXACT: bool = T::EXACT;

    fn sample(random: &mut Random) -> Self {
        T::sample(random)..T::sample(random)
    }
}

impl<T: Sample> Sample for Bound<T> {
    const EXACT: bool = T::EXACT;

    fn sample(random: &mut Random) -> Self {
        match random.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(T::sample(random)),
            _ => Bound::Excluded(T::sample(random)),
        }
    }
}
