//! The binary interface between a program and a plugin: C layouts, and nothing else.

#![expect(unsafe_code, reason = "this is the border that two builds share")]

#[cfg(feature = "plugins")]
use std::mem::offset_of;
use std::{ffi::c_void, slice};

use crate::error::{Error, ErrorKind, Result};

/// The name of the symbol that a plugin exports.
pub const SYMBOL: &str = "LITHOPS_PLUGIN";

/// The first bytes of a header.
pub const MAGIC: [u8; 8] = *b"LITHOPSP";

/// The version of these layouts, major and minor. A program loads only plugins of its own major version.
pub const ABI: (u16, u16) = (0, 1);

/// How many bytes of a header are read before it is known to be one: magic, version and length.
pub const PREFIX: usize = 16;

/// How many words a header has. It is first read as words, because a field that holds a function must not be
/// read as a function before it is known not to be null.
#[cfg(feature = "plugins")]
pub(super) const HEADER_WORDS: usize = size_of::<Header>() / size_of::<usize>();

/// Bytes that the other side owns, valid during a call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Text {
    data: *const u8,
    len: usize,
}

impl Text {
    /// A text that points at these bytes.
    #[must_use]
    pub const fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes that the text points at.
    ///
    /// # Safety
    /// The owner of the bytes must keep them unchanged for as long as they are read.
    #[must_use]
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the caller guarantees that the bytes are still there.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }
}

/// How an operation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum PluginStatus {
    /// The operation has succeeded; the bytes are its result.
    Ok = 0,
    /// The operation has failed; the bytes are the encoded error.
    Failed = 1,
    /// The plugin has panicked; the bytes are the panic's message.
    Panicked = 2,
    /// No further event comes.
    Ended = 3,
}

impl PluginStatus {
    /// The status of a number; an unknown number counts as a failure.
    #[must_use]
    pub fn of(number: u32) -> Self {
        match number {
            0 => Self::Ok,
            2 => Self::Panicked,
            3 => Self::Ended,
            _ => Self::Failed,
        }
    }
}

/// The callback that is told of the end of an operation, once, on any thread.
#[repr(C)]
#[derive(Debug)]
pub struct Done {
    /// A pointer that the caller gets back in `call`.
    pub context: *mut c_void,
    /// Takes the context, the status, the instance that was opened (else null), and bytes that are valid
    /// during the call.
    pub call: extern "C" fn(*mut c_void, u32, *mut c_void, Text),
}

// SAFETY: the caller's context may be used on any thread: that is part of the contract of `Done`.
unsafe impl Send for Done {}

impl Done {
    /// Calls the callback.
    pub fn tell(self, status: PluginStatus, opened: *mut c_void, bytes: &[u8]) {
        (self.call)(self.context, status as u32, opened, Text::of(bytes));
    }
}

/// The result of an operation, owned by the caller of the operation.
#[derive(Debug)]
pub struct PluginAnswer {
    /// How it has ended.
    pub status: PluginStatus,
    /// The instance that was opened; else null.
    pub opened: *mut c_void,
    /// The value, the encoded error or the panic's message, as the status says.
    pub bytes: Vec<u8>,
}

// SAFETY: an opened instance may be used on any thread.
unsafe impl Send for PluginAnswer {}

/// Takes a plugin's log message: level from 1 (error) to 5 (trace), target and text.
pub type Log = extern "C" fn(level: u32, target: Text, message: Text);

/// The functions of a plugin. None of them unwinds, and none blocks for long.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Vtable {
    /// Describes the backend, and its capabilities under a configuration.
    pub describe: extern "C" fn(config: Text, done: Done),
    /// Makes the backend; the callback gets an instance.
    pub open: extern "C" fn(options: Text, log: Log, done: Done),
    /// Runs an operation of an instance.
    pub call: extern "C" fn(instance: *mut c_void, operation: u32, request: Text, done: Done),
    /// Asks for the next events of an invocation; one request at a time.
    pub next_event: extern "C" fn(instance: *mut c_void, invocation: u64, done: Done),
    /// Sends a frame to the worker of an invocation.
    pub feed: extern "C" fn(instance: *mut c_void, invocation: u64, frame: Text),
    /// The host reads the events of an invocation no more; the invocation itself goes on.
    pub cancel: extern "C" fn(instance: *mut c_void, invocation: u64),
    /// The host uses the instance no more.
    pub drop: extern "C" fn(instance: *mut c_void),
}

/// The object that a plugin exports as [`SYMBOL`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// Always [`MAGIC`].
    pub magic: [u8; 8],
    /// The major version of [`ABI`].
    pub abi_major: u16,
    /// The minor version of [`ABI`].
    pub abi_minor: u16,
    /// The length of this header in bytes.
    pub size: u32,
    /// The name of the crate that the plugin was made from.
    pub name: Text,
    /// The version of that crate.
    pub version: Text,
    /// The version of `lithops-core` that the plugin was built with.
    pub core_version: Text,
    /// The functions of the plugin.
    pub vtable: Vtable,
}

// SAFETY: the texts of a header point at constants.
unsafe impl Sync for Header {}

impl Header {
    /// The name of a text that is null in the words of a header.
    #[cfg(feature = "plugins")]
    pub(super) fn missing_text(words: &[usize; HEADER_WORDS]) -> Option<&'static str> {
        let texts = [
            (offset_of!(Self, name), "a name"),
            (offset_of!(Self, version), "a version"),
            (offset_of!(Self, core_version), "the version of lithops-core"),
        ];
        let is_null = |offset: usize| words[offset / size_of::<usize>()] == 0;
        let missing = texts.into_iter().find(|(offset, _)| is_null(offset + offset_of!(Text, data)));
        missing.map(|(_, what)| what)
    }

    /// The name of a function that is null in the words of a header of this version.
    #[cfg(feature = "plugins")]
    pub(super) fn missing_function(words: &[usize; HEADER_WORDS]) -> Option<&'static str> {
        let functions = [
            (offset_of!(Vtable, describe), "the function `describe`"),
            (offset_of!(Vtable, open), "the function `open`"),
            (offset_of!(Vtable, call), "the function `call`"),
            (offset_of!(Vtable, next_event), "the function `next_event`"),
            (offset_of!(Vtable, feed), "the function `feed`"),
            (offset_of!(Vtable, cancel), "the function `cancel`"),
            (offset_of!(Vtable, drop), "the function `drop`"),
        ];
        let is_null = |offset: usize| words[offset / size_of::<usize>()] == 0;
        let missing = functions.into_iter().find(|(offset, _)| is_null(offset_of!(Self, vtable) + offset));
        missing.map(|(_, what)| what)
    }

    /// Checks the first bytes of the object that is called [`SYMBOL`] in a library, which may be anything.
    ///
    /// # Errors
    /// When the object is no header, or a header of another version or length.
    pub fn inspect(prefix: &[u8; PREFIX], shown: &str) -> Result<()> {
        let wrong = |kind: ErrorKind, what: String| Error::new(kind, format!("the plugin `{shown}` {what}"));
        if prefix[..8] != MAGIC {
            return Err(wrong(
                ErrorKind::ConfigInvalid,
                format!("has a `{SYMBOL}` that is no header of a plugin"),
            )
            .with_hint("was it made with `lithops_core::export_backend!`?"));
        }
        let short = |at: usize| u16::from_le_bytes([prefix[at], prefix[at + 1]]);
        let (major, minor) = (short(8), short(10));
        if major != ABI.0 {
            return Err(wrong(
                ErrorKind::VersionMismatch,
                format!(
                    "speaks version {major}.{minor} of the interface, and this program {}.{}",
                    ABI.0, ABI.1
                ),
            )
            .with_hint("build the plugin and the program with the same version of lithops"));
        }
        let size = u32::from_le_bytes([prefix[12], prefix[13], prefix[14], prefix[15]]) as usize;
        if size != size_of::<Self>() {
            return Err(wrong(
                ErrorKind::VersionMismatch,
                format!("has a header of {size} bytes, and this program reads {}", size_of::<Self>()),
            )
            .with_hint("build the plugin and the program with the same version of lithops"));
        }
        Ok(())
    }
}
