//! What comes on standard input: an archive or a Dockerfile. Pure but for the reading of its first bytes.

use std::io::{self, Read};

/// Bytes that tell one from the other. The engine's frontend looks at as many.
pub(super) const HEAD: usize = 1024;
/// Bytes of a header of tar; content comes in pieces of as many.
const BLOCK: usize = 512;

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing came.
    Nothing,
    /// An archive that the engine unpacks.
    Archive,
    /// One that it unpacks where it has the program for that.
    Xz,
    /// A tar whose first entry has headers of its own: the engine sees that it is a tar where another entry is first.
    TarWithRecords,
    /// A tar without a file.
    Empty,
    /// Compressed with zstd, which no engine unpacks.
    Zstd,
    /// Bytes that are neither an archive nor text.
    Binary,
    /// What else there is: a Dockerfile.
    Text,
}

/// Reads the first bytes, and tells what they begin.
pub(super) fn peek(input: &mut impl Read) -> io::Result<(Kind, Vec<u8>)> {
    let mut head = Vec::new();
    input.take(HEAD as u64).read_to_end(&mut head)?;
    Ok((kind(&head), head))
}

/// Tells what begins so.
pub(super) fn kind(head: &[u8]) -> Kind {
    const COMPRESSED: [&[u8]; 2] = [b"\x1f\x8b\x08", b"BZh"];
    match head {
        [] => Kind::Nothing,
        _ if COMPRESSED.iter().any(|magic| head.starts_with(magic)) => Kind::Archive,
        _ if head.starts_with(b"\xfd7zXZ\0") => Kind::Xz,
        _ if head.starts_with(b"\x28\xb5\x2f\xfd") => Kind::Zstd,
        _ if head.len() >= BLOCK && head.iter().all(|&byte| byte == 0) => Kind::Empty,
        _ if is_tar(head) && matches!(head.get(156), Some(b'x' | b'L' | b'K')) => Kind::TarWithRecords,
        _ if is_tar(head) => Kind::Archive,
        _ if head.iter().any(|byte| matches!(byte, 0..=8 | 14..=31 | 127)) => Kind::Binary,
        _ => Kind::Text,
    }
}

/// Whether this begins with a header of tar: it holds the sum of its own bytes, where the sum itself counts as spaces.
fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..BLOCK) else { return false };
    let (sum, rest) = (&header[148..156], header[..148].iter().chain(&header[156..]));
    let told = std::str::from_utf8(sum).ok().and_then(|text| {
        let digits = text.trim_matches(['\0', ' ']);
        u32::from_str_radix(digits, 8).ok()
    });
    told == Some(rest.map(|&byte| u32::from(byte)).sum::<u32>() + 8 * u32::from(b' '))
}

/// An entry to put before a tar, which says nothing of any file: a comment, as `git archive` has it.
pub(super) fn comment() -> Vec<u8> {
    const RECORD: &[u8] = b"18 comment=remora\n";
    let mut entry = vec![0; 2 * BLOCK];
    let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"pax_global_header");
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", RECORD.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"g");
    put(257, b"ustar\x0000");
    put(BLOCK, RECORD);
    let sum: u32 = entry[..BLOCK].iter().map(|&byte| u32::from(byte)).sum();
    entry[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_told_from_dockerfiles() {
        let tar = comment();
        assert_eq!(kind(&tar), Kind::Archive);
        assert_eq!(kind(&tar[..BLOCK]), Kind::Archive);
        let mut broken = tar.clone();
        broken[0] ^= 1;
        assert_eq!(kind(&broken), Kind::Binary, "its sum is wrong");
        let table: [(&[u8], Kind); 13] = [
            (b"", Kind::Nothing),
            (b"FROM scratch\n", Kind::Text),
            (b"\xef\xbb\xbfFROM scratch\r\n", Kind::Text),
            ("# caf\u{e9}\r\n\tFROM scratch\x0c\n".as_bytes(), Kind::Text),
            (b"\x93\x02random", Kind::Binary),
            (b"BZ", Kind::Text),
            (b"BZh9", Kind::Archive),
            (b"\x1f\x8b\x08\0", Kind::Archive),
            (b"\xfd7zXZ\0", Kind::Xz),
            (b"\x28\xb5\x2f\xfd", Kind::Zstd),
            (&[0; 1024], Kind::Empty),
            (&[0; 10], Kind::Binary),
            (b"\x7fELF\x02\x01\x01\0", Kind::Binary),
        ];
        for (head, wanted) in table {
            assert_eq!(kind(head), wanted, "{}", head.escape_ascii());
        }
    }
}
