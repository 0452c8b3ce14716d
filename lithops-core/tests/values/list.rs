//! The types that are tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    ops::{Bound, Range},
    time::Duration,
};

use lithops_core::bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use super::{
    leaves::{Empty, Nothing},
    random::Random,
    sample::{Tried, try_one},
    shapes::{
        Adjacent, Converted, External, Flat, FlatAdjacent, FlatExternal, FlatTagged, Internal, Left, Named,
        Newtype, OneUntagged, Onion, Pair, Renamed, Skipped, Solid, TaggedStruct, Transparent, Untagged,
        Written,
    },
};

/// A type's name, and a trial of one of its values.
pub(crate) type Trial = (&'static str, fn(&mut Random) -> Result<Tried, String>);

macro_rules! list {
    ($($T:ty),* $(,)?) => {
        vec![$((stringify!($T), try_one::<$T> as fn(&mut Random) -> Result<Tried, String>)),*]
    };
}

/// Every attribute around one type.
macro_rules! around {
    ($($T:ty),* $(,)?) => {
        [$(list![
            $T, Option<$T>, Option<Option<$T>>, Vec<Option<$T>>, Named<$T, Option<$T>>, Skipped<$T>, External<$T, Option<$T>>,
            Internal<$T>, Adjacent<$T, Option<$T>>, Untagged<$T, Option<$T>>, Flat<$T>,
        ]),*].concat()
    };
}

/// All of them.
pub(crate) fn all() -> Vec<Trial> {
    let mut types = around![
        u8, i64, f64, String, (), Bytes, IpAddr, Nothing, Value, Vec<u16>, Named<i8, String>, External<u8, String>,
        Option<Option<bool>>,
    ];
    types.extend(list![
        u16, u32, u64, u128, i8, i16, i32, i128, f32, bool, char, SocketAddr, Uuid, Duration, NonZeroU16, Empty, Onion,
        Option<u128>, Named<i128, Option<u128>>, BTreeMap<u128, i128>, External<i128, u128>,
        [u8; 3], (u8, String), Result<u8, String>, Result<(), Option<()>>, Box<[i32; 3]>, Range<u32>, Bound<Option<i32>>,
        BTreeSet<char>, BTreeMap<u32, ()>, BTreeMap<String, Option<Option<()>>>, BTreeMap<(u8, bool), IpAddr>,
        BTreeMap<Option<u8>, Bytes>,
        Renamed<f32, Uuid>, Left<Duration>, Left<Option<()>>, TaggedStruct<u8, String>, TaggedStruct<IpAddr, Option<Option<u8>>>,
        Newtype<Option<Newtype<Option<u8>>>>, Option<Newtype<Option<()>>>, Option<Transparent<Option<u8>>>, Option<Onion>,
        Pair<u8, Option<String>>, Converted<Option<u8>>, Option<Converted<u8>>, Written<u8>, Written<Option<Empty>>,
        FlatTagged<SocketAddr>, FlatTagged<Option<u8>>, FlatAdjacent<IpAddr>, FlatAdjacent<Option<()>>, FlatExternal<Uuid>,
        FlatExternal<Bytes>, Solid<Duration>, OneUntagged<u8>, OneUntagged<Vec<String>>, OneUntagged<Named<u8, IpAddr>>,
        Untagged<SocketAddr, Bytes>, Untagged<Bytes, bool>, Untagged<Internal<u8>, Adjacent<u8, char>>, Untagged<f32, u64>,
        Internal<Adjacent<u8, Option<()>>>, Internal<Internal<Option<u8>>>, Internal<External<char, IpAddr>>, Internal<Flat<Uuid>>,
        Internal<BTreeMap<u32, String>>, Internal<BTreeMap<IpAddr, char>>, Adjacent<Internal<u8>, External<u8, u8>>,
        Adjacent<Flat<IpAddr>, Skipped<u8>>, Skipped<Skipped<u8>>, Skipped<Internal<Bytes>>, Vec<Skipped<Option<u8>>>,
        Flat<Internal<Option<u8>>>, Flat<External<IpAddr, ()>>, Flat<Vec<Skipped<u8>>>, Flat<BTreeMap<u32, Option<()>>>,
        External<Adjacent<u8, ()>, Flat<u8>>, External<Value, Option<Value>>, Option<Option<Value>>,
        BTreeMap<String, External<Option<()>, Internal<Duration>>>, Option<Box<Adjacent<Value, Bound<u8>>>>,
        Option<Option<Option<Option<External<Nothing, Option<Nothing>>>>>>, Vec<(Option<()>, Nothing, )>,
    ]);
    types
}
