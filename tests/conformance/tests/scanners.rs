//! What reads bytes from outside is given random bytes, and bytes that were changed on their way.

use lithops_conformance::scanners::SCANNERS;
use lithops_core::protocol::FrameReader;
use proptest::prelude::*;

/// A change of bytes: where, what is put there, and how many are taken away.
fn change() -> impl Strategy<Value = (prop::sample::Index, Vec<u8>, usize)> {
    (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..6), 0usize..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        SCANNERS.iter().for_each(|scanner| (scanner.scan)(&bytes));
    }

    #[test]
    fn changed_bytes_are_refused_or_read(changes in prop::collection::vec(change(), 0..5), cut in any::<prop::sample::Index>()) {
        for scanner in SCANNERS {
            let mut bytes = (scanner.sample)();
            for (place, put, taken) in &changes {
                let at = place.index(bytes.len() + 1);
                let end = (at + taken).min(bytes.len());
                bytes.splice(at..end, put.iter().copied());
            }
            (scanner.scan)(&bytes);
            (scanner.scan)(&bytes[..cut.index(bytes.len() + 1)]);
        }
    }
}

/// The most address space that this process ever had.
fn most_address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).expect("a line");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

#[tokio::test]
async fn a_frame_that_claims_a_gigabyte_reserves_nothing_for_it() {
    // 0x3fff_ffff bytes of calls are said to come, and sixteen do.
    let mut bytes = vec![0xff, 0xff, 0xff, 0x3f, 4, 0, 0, 0];
    bytes.extend([1; 16]);
    let before = most_address_space();
    SCANNERS.iter().for_each(|scanner| (scanner.scan)(&bytes));
    FrameReader::new(bytes.as_slice()).next().await.expect_err("it is cut short");
    let more = most_address_space() - before;
    // Threads of other tests may begin meanwhile; their stacks and heaps are smaller by far.
    assert!(more < 1 << 29, "{more} bytes were reserved on the word of a header");
}
