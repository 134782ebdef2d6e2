//! What the small files beside the log say: `format`, `acknowledged` and `lock`.
//!
//! Pure: bytes in, values out. The bytes may be anything; at most [`BYTES_MAX`] of a file are read.

use crate::domain::ids::Position;

/// The format of everything in the directory; raised when an older gleaner could not read it any more.
pub(crate) const FORMAT: u32 = 2;

/// Longer than any of these files ever is.
pub(crate) const BYTES_MAX: u64 = 4096;

/// The number that the file `format` holds.
pub(crate) fn format(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

/// A position with a checksum, because a flipped bit in it would tell of events that never were.
pub(crate) fn acknowledgement(position: u64) -> String {
    let number = format!("{position:020}");
    let checksum = crc32fast::hash(number.as_bytes());
    format!("{number} {checksum:08x}\n")
}

/// The position that the file `acknowledged` holds.
pub(crate) fn acknowledged(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let position = text.split(' ').next()?.parse().ok()?;
    (position <= Position::MAX.0 && acknowledgement(position) == text).then_some(position)
}

/// A holder's name as the file `lock` keeps it.
pub(crate) fn one_line(holder: &str) -> String {
    holder.replace(['\n', '\r'], " ")
}

/// Who the file `lock` names.
pub(crate) fn holder(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().next().unwrap_or("a process that has just begun").to_owned()
}
