//! [`pack`]: a tree as one compressed layer, the same bytes for the same files.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use lithops_core::{
    digest::{Digest, Hashing},
    error::{Error, ErrorKind, Result},
    regular,
};
use tar::{EntryType, Header};

use super::tree::{Content, Node, Tree};

/// Registries take gzip everywhere, and other compressions here and there.
const LEVEL: Compression = Compression::new(6);
/// The mark of gzip for an unknown system.
const NO_SYSTEM: u8 = 255;

/// A compressed layer.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) bytes: Bytes,
    /// The digest of the layer before it was compressed.
    pub(crate) diff_id: Digest,
}

/// Packs the files. Times, owners and the order of the files do not depend on this machine.
///
/// # Errors
/// A file cannot be read, or changes while it is read.
pub(crate) fn pack(tree: &Tree) -> Result<Packed> {
    let gzip = GzBuilder::new().mtime(0).operating_system(NO_SYSTEM).write(Vec::new(), LEVEL);
    let mut archive = tar::Builder::new(Tee { hashing: Hashing::default(), inner: gzip });
    for (place, node) in tree.iter() {
        append(&mut archive, place, node).map_err(|error| {
            let kind = Error::from(io::Error::from(error.kind())).kind();
            Error::new(kind, format!("`/{place}` was not put into the image: {error}"))
                .with_hint("may this user read the file, and does it keep its size meanwhile?")
                .with_source(error)
        })?;
    }
    let done = archive.into_inner().and_then(|tee| Ok((tee.hashing, tee.inner.finish()?)));
    let (hashing, bytes) = done
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("the layer was not written: {error}")))?;
    Ok(Packed { bytes: bytes.into(), diff_id: hashing.finish() })
}

fn append<W: Write>(archive: &mut tar::Builder<W>, place: &str, node: &Node) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    match node {
        Node::Folder { mode } => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(*mode);
            archive.append_data(&mut header, format!("{place}/"), io::empty())
        }
        Node::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            archive.append_link(&mut header, place, target)
        }
        Node::File { content, mode } => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(*mode);
            match content {
                Content::Bytes(bytes) => {
                    header.set_size(bytes.len() as u64);
                    archive.append_data(&mut header, place, &bytes[..])
                }
                Content::File(path) => {
                    let file = regular::open(path)?;
                    let size = file.metadata()?.len();
                    header.set_size(size);
                    archive.append_data(&mut header, place, Exactly { file, left: size })
                }
            }
        }
    }
}

/// Passes bytes on, and computes their digest.
struct Tee<W> {
    hashing: Hashing,
    inner: W,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hashing.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads as many bytes as the header says: more or fewer would damage what comes after.
struct Exactly<R> {
    file: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let read = self.file.read(&mut bytes[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has become shorter"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_are_the_same_bytes() {
        let long = format!("/{}/file", "folder/".repeat(30));
        let places = ["/tmp/b", "/tmp/a", long.as_str()];
        let packed = |places: &mut dyn Iterator<Item = &&str>| {
            let mut tree = Tree::default();
            for place in places {
                tree.add_bytes(place, format!("at {place}"), 0o644).unwrap();
            }
            pack(&tree).unwrap()
        };
        let one = packed(&mut places.iter());
        let other = packed(&mut places.iter().rev());
        assert_eq!((&one.bytes, one.diff_id), (&other.bytes, other.diff_id));

        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&one.bytes[..]));
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        }
    }
}
