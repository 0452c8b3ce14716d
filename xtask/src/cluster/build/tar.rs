//! Archives in the format of `tar`, in memory.

/// A file of an archive: its path, its mode and its content.
pub(super) type Entry<'a> = (&'a str, u32, &'a [u8]);

const BLOCK: usize = 512;

/// Files whose paths have at most 100 bytes.
pub(super) fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, mode, content) in entries {
        archive.extend(header(path, *mode, content.len()));
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn header(path: &str, mode: u32, length: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{length:011o}"));
    put(136, "00000000000");
    // The sum of the header is made with spaces in its own place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_padded_and_the_sum_is_right() {
        let archive = archive(&[("a/b", 0o755, b"content")]);
        assert_eq!(archive.len(), 4 * BLOCK);
        assert_eq!((&archive[..4], &archive[BLOCK..BLOCK + 7]), (&b"a/b\0"[..], &b"content"[..]));
        let without_sum = archive[..148].iter().chain(&[b' '; 8]).chain(&archive[156..BLOCK]);
        let sum: u32 = without_sum.map(|byte| u32::from(*byte)).sum();
        assert_eq!(&archive[148..154], format!("{sum:06o}").as_bytes());
    }
}
