//! What a kill left in the WAL, checked before SQLite reads it.
//!
//! To SQLite the first frame whose checksum fails is the end of the WAL: right for a write that a crash cut short, but
//! a byte that flipped in the middle would drop every commit after it, and nobody would be told. Each commit was synced
//! before the next began, so a crash can cut only the last one, and it leaves frames that don't belong together. A
//! frame that fails although what follows it was committed is damage, and the log is not opened.
//!
//! Invariant: whenever the file is opened for writing, the WAL is moved into it whole and cut to nothing, so that what a
//! crash or a failure cut short can't be taken for damage after a later crash.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// The WAL holds commits that SQLite would drop.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}; what was committed from there on can't be read", path.display())]
pub(super) struct WalDamaged {
    path: PathBuf,
    what: String,
}

/// Looks for damage in the WAL beside the log's file, if there is one.
///
/// # Errors
/// The WAL can't be read.
pub(super) fn check(log: &Path) -> io::Result<Result<(), WalDamaged>> {
    let mut path = OsString::from(log);
    path.push("-wal");
    let path = PathBuf::from(path);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(())),
        Err(error) => return Err(error),
    };
    let found = scan(BufReader::with_capacity(1 << 20, file))?;
    Ok(found.map_or(Ok(()), |what| Err(WalDamaged { path, what })))
}

const HEADER_BYTES: usize = 32;
const FRAME_BYTES: usize = 24;

/// The running checksum of a WAL: over its header, then over all frames.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Checksum {
    sums: (u32, u32),
    big_endian: bool,
}

impl Checksum {
    fn add(mut self, bytes: &[u8]) -> Self {
        let (mut a, mut b) = self.sums;
        let word = if self.big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        for pair in bytes.chunks_exact(8) {
            a = a.wrapping_add(word([pair[0], pair[1], pair[2], pair[3]])).wrapping_add(b);
            b = b.wrapping_add(word([pair[4], pair[5], pair[6], pair[7]])).wrapping_add(a);
        }
        self.sums = (a, b);
        self
    }

    /// Whether these eight bytes hold it.
    fn is(self, stored: &[u8]) -> bool {
        self.sums == (number(stored, 0), number(stored, 4))
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Reads on until the buffer is full or the file ends; whether it is full.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is damaged, if anything is.
fn scan(mut file: impl Read) -> io::Result<Option<String>> {
    let mut header = [0; HEADER_BYTES];
    // The header was synced before the first frame was written, so it is damaged if frames follow and it isn't sound.
    if !fill(&mut file, &mut header)? || header == [0; HEADER_BYTES] {
        return Ok(None);
    }
    let magic = number(&header, 0);
    let start = Checksum { sums: (0, 0), big_endian: magic & 1 == 1 }.add(&header[..24]);
    let page = number(&header, 8);
    if !start.is(&header[24..]) || magic & !1 != 0x377f_0682 || !(512..=65_536).contains(&page) {
        let frames = fill(&mut file, &mut [0; FRAME_BYTES])?;
        return Ok(frames.then(|| "its header is damaged".to_owned()));
    }
    let mut tail = Tail::default();
    let mut sum = start;
    let mut frame = vec![0; FRAME_BYTES + page as usize];
    for index in 1_u64.. {
        if !fill(&mut file, &mut frame)? {
            break;
        }
        let (head, data) = frame.split_at(FRAME_BYTES);
        let current = head[8..16] == header[16..24];
        let after = sum.add(&head[..8]).add(data);
        let chained = after.is(&head[16..24]);
        if tail.broken.is_none() && current && chained {
            sum = after;
        } else if let Some(at) = tail.follow(index, current, chained, number(head, 4) != 0) {
            return Ok(Some(format!("frame {at} is damaged")));
        }
    }
    Ok(None)
}

/// The frames from the first that fails on.
#[derive(Default)]
struct Tail {
    /// The first that failed.
    broken: Option<u64>,
    /// Whether one of them was not written since the WAL last began anew.
    gap: bool,
    /// How many of those written since then end a commit.
    commits: u32,
}

impl Tail {
    /// Takes in a frame: of the present round of the WAL or not, continuing the checksum or not, ending a commit or not.
    /// Answers the frame that is damaged once that is certain.
    fn follow(&mut self, index: u64, current: bool, chained: bool, commit: bool) -> Option<u64> {
        let first = self.broken.is_none();
        let broken = *self.broken.get_or_insert(index);
        // The checksum doesn't cover what tells the round: it fits, so only that can be what is damaged.
        if first && chained {
            return Some(broken);
        }
        if !current {
            self.gap = true;
        } else if commit {
            self.commits += 1;
        }
        // A commit cut short has frames missing, and none comes after it.
        (current && commit && (!self.gap || self.commits > 1)).then_some(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_commit_is_no_damage() {
        // Frames of an earlier round follow the last commit.
        let mut tail = Tail::default();
        assert!((1..20).all(|i| tail.follow(i, false, false, i % 3 == 0).is_none()));
        // A commit of which a frame never reached the disk.
        let mut tail = Tail::default();
        assert_eq!(tail.follow(1, false, false, false), None);
        assert_eq!(tail.follow(2, true, false, true), None);
        // A commit that was not written to its end.
        let mut tail = Tail::default();
        assert_eq!(tail.follow(1, true, false, false), None);
        assert_eq!(tail.follow(2, false, false, true), None);
    }

    #[test]
    fn a_frame_that_fails_before_a_commit_is_damage() {
        let mut tail = Tail::default();
        assert_eq!(tail.follow(7, true, false, false), None);
        assert_eq!(tail.follow(8, true, false, true), Some(7));
        let mut tail = Tail::default();
        assert_eq!(tail.follow(7, false, false, false), None);
        assert_eq!(tail.follow(8, true, false, true), None);
        assert_eq!(tail.follow(9, true, false, true), Some(7));
        assert_eq!(Tail::default().follow(3, false, true, false), Some(3));
    }
}
