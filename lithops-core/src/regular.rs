//! Opens and reads only regular files, and never blocks.
//!
//! Opening a pipe would block until another process writes to it, and reading a device may never end.

use std::{
    fs::{File, FileType, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::OFlags;

/// Opens a regular file for reading.
///
/// # Errors
/// When the file cannot be opened, or is not a regular file. The error says what it is.
pub fn open(path: &Path) -> io::Result<File> {
    // The type is checked before the file is opened, because opening a device may have side effects.
    check(path)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).expect("flags of a few low bits");
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // The file may have been replaced since the first check.
    let found = file.metadata()?.file_type();
    if found.is_file() { Ok(file) } else { Err(no_file(found)) }
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// As for [`open`]; and when the file has more bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let words = match limit >> 20 {
            0 => format!("it is larger than {limit} bytes"),
            megabytes => format!("it is larger than {megabytes} MiB"),
        };
        return Err(io::Error::new(ErrorKind::FileTooLarge, words));
    }
    Ok(bytes)
}

/// Checks that a path is a regular file, for callers that let another library read the file.
///
/// # Errors
/// When the path is not a regular file, or cannot be inspected. The error says what it is.
pub fn check(path: &Path) -> io::Result<()> {
    let found = std::fs::metadata(path)?.file_type();
    if found.is_file() { Ok(()) } else { Err(no_file(found)) }
}

/// Refuses a pipe or a socket that another library is about to read, because that read would block.
/// A path that does not exist is accepted, because that library reports it.
///
/// # Errors
/// When the path is a pipe or a socket.
pub fn check_endless(path: &Path) -> io::Result<()> {
    let found = std::fs::metadata(path).map(|found| found.file_type());
    match found {
        Ok(found) if found.is_fifo() || found.is_socket() => Err(no_file(found)),
        _ => Ok(()),
    }
}

fn no_file(found: FileType) -> io::Error {
    let (kind, what) = match found {
        found if found.is_dir() => (ErrorKind::IsADirectory, "a folder"),
        found if found.is_fifo() => (ErrorKind::InvalidInput, "a pipe"),
        found if found.is_socket() => (ErrorKind::InvalidInput, "a socket"),
        _ => (ErrorKind::InvalidInput, "a device"),
    };
    io::Error::new(kind, format!("it is {what} and no file"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, Mode, mknodat};

    use super::*;

    #[test]
    fn what_is_no_file_is_named_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        mknodat(CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink(at("pipe"), at("link")).unwrap();
        let device = Path::new("/dev/zero").to_owned();
        for (path, what) in [
            (at("pipe"), "a pipe"),
            (at("link"), "a pipe"),
            (at("socket"), "a socket"),
            (at(""), "a folder"),
            (device, "a device"),
        ] {
            let error = read(&path, 10).unwrap_err().to_string();
            assert_eq!(error, format!("it is {what} and no file"), "{path:?}");
            assert_eq!(check_endless(&path).is_err(), what == "a pipe" || what == "a socket");
        }
        assert_eq!(read(&at("none"), 10).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn no_more_is_read_than_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap_err().to_string(), "it is larger than 4 bytes");
    }
}
