//! The loader's cache, `/etc/ld.so.cache`: which name of a library is which file.
//!
//! The file has a header of 48 bytes, entries of 24 bytes that are sorted by name from the last to the first, and the
//! names and paths, each ended by a zero. An older format may come before it.

use std::cmp::Ordering;

use lithops_core::artifact::Machine;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// The mark of a file whose numbers have the low byte first.
const LITTLE_ENDIAN: u8 = 2;

/// The paths that the cache lists under a name, first choice first. A cache that cannot be read lists none. Libraries
/// for newer processors are left out: the image may run on older ones.
pub(crate) fn find(cache: &[u8], name: &str, machine: Machine) -> Vec<String> {
    entries(cache, machine).filter(|(own, _)| *own == name.as_bytes()).map(|(_, path)| text(path)).collect()
}

/// A cache with these names and paths.
pub(crate) fn write(libraries: &[(String, String)], machine: Machine) -> Vec<u8> {
    let mut libraries: Vec<_> = libraries.iter().collect();
    libraries.sort_by(|one, other| order(other.0.as_bytes(), one.0.as_bytes()).then_with(|| one.cmp(other)));
    let strings_at = HEADER + ENTRY * libraries.len();
    let (mut entries, mut strings) = (Vec::new(), Vec::new());
    let mut add = |text: &str| {
        let at = number(strings_at + strings.len());
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
        at
    };
    for (name, path) in libraries {
        entries.extend(kind(machine).to_le_bytes());
        entries.extend(add(name).to_le_bytes());
        entries.extend(add(path).to_le_bytes());
        entries.extend([0; 12]);
    }
    let mut file = MAGIC.to_vec();
    file.extend(number(entries.len() / ENTRY).to_le_bytes());
    file.extend(number(strings.len()).to_le_bytes());
    file.push(LITTLE_ENDIAN);
    file.resize(HEADER, 0);
    file.extend(entries);
    file.extend(strings);
    file
}

fn entries(cache: &[u8], machine: Machine) -> impl Iterator<Item = (&[u8], &[u8])> {
    let cache = new_format(cache).unwrap_or_default();
    let count = read(cache, MAGIC.len()).unwrap_or_default();
    let table = cache.get(HEADER..).unwrap_or_default();
    table.chunks_exact(ENTRY).take(count).filter_map(move |entry| {
        let is_ours = read(entry, 0)? == kind(machine) as usize;
        let is_for_all = entry[16..24] == [0; 8];
        let string = |at: usize| {
            let rest = cache.get(read(entry, at)?..)?;
            Some(&rest[..memchr::memchr(0, rest)?])
        };
        (is_ours && is_for_all).then_some((string(4)?, string(8)?))
    })
}

/// The part of the file in the new format.
fn new_format(cache: &[u8]) -> Option<&[u8]> {
    let at = if cache.starts_with(OLD_MAGIC) {
        let old = read(cache, 12)?.checked_mul(12)?.checked_add(16)?;
        old.checked_next_multiple_of(8)?
    } else {
        0
    };
    cache.get(at..).filter(|rest| rest.starts_with(MAGIC))
}

fn read(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

fn number(value: usize) -> u32 {
    u32::try_from(value).expect("an image has less than 4 GiB of names")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How the cache marks libraries of glibc for the machine.
fn kind(machine: Machine) -> u32 {
    match machine {
        Machine::X86_64 => 0x0303,
        Machine::Arm64 => 0x0a03,
    }
}

/// The order in which the loader searches: runs of digits by their value.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        match (one.first(), other.first()) {
            (Some(a), Some(b)) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let (a, b) = (digits(&mut one), digits(&mut other));
                match a.cmp(&b) {
                    Ordering::Equal => {}
                    unequal => return unequal,
                }
            }
            (Some(a), _) if a.is_ascii_digit() => return Ordering::Greater,
            (Some(_), Some(b)) if b.is_ascii_digit() => return Ordering::Less,
            (Some(a), Some(b)) if a == b => (one, other) = (&one[1..], &other[1..]),
            (a, b) => return a.cmp(&b),
        }
    }
}

fn digits(text: &mut &[u8]) -> u64 {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(length);
    *text = rest;
    number.iter().fold(0, |all: u64, digit| all.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found_in_the_order_of_the_loader() {
        let pair = |name: &str| (name.to_owned(), format!("/opt/{name}"));
        let names = ["libz.so.1", "libz.so.10", "libz.so.9", "liba.so", "libz-new.so.2"];
        let cache = write(&names.map(pair), Machine::X86_64);
        for name in names {
            assert_eq!(find(&cache, name, Machine::X86_64), [format!("/opt/{name}")]);
            assert!(find(&cache, name, Machine::Arm64).is_empty());
        }
        let sorted: Vec<_> = entries(&cache, Machine::X86_64).map(|(name, _)| text(name)).collect();
        assert_eq!(sorted, ["libz.so.10", "libz.so.9", "libz.so.1", "libz-new.so.2", "liba.so"]);

        let mut both = OLD_MAGIC.to_vec();
        both.push(0);
        both.extend(1u32.to_le_bytes());
        both.resize(32, 0);
        both.extend(&cache);
        assert_eq!(find(&both, "liba.so", Machine::X86_64), ["/opt/liba.so"]);
        for end in 0..both.len() {
            // A cache that was cut lists less.
            assert!(find(&both[..end], "libz.so.1", Machine::X86_64).len() <= 1);
        }
    }
}
