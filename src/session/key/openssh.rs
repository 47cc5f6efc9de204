//! OpenSSH's own form of a private key, as far as it is needed to know what key it is, and to read one of ECDSA: the crate
//! for the others does not take a number that is written without the zeros before it, as OpenSSH writes all.
//!
//! <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key>

use super::take;

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// A key's file, with one key in it.
pub(super) struct File<'a> {
    pub(super) encrypted: bool,
    /// The public key as SSH sends it.
    pub(super) public: &'a [u8],
    /// What SSH calls keys of this kind.
    pub(super) kind: &'a [u8],
    private: &'a [u8],
}

/// A private key of ECDSA, and its comment.
pub(super) struct Ecdsa<'a> {
    pub(super) point: &'a [u8],
    /// As many bytes as the curve has.
    pub(super) number: Vec<u8>,
    pub(super) comment: &'a [u8],
}

impl<'a> File<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let [cipher, _derivation, _options] = [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?];
        let (1, mut rest) = number(rest)? else { return None };
        let (public, private) = (take(&mut rest)?, take(&mut rest)?);
        Some(Self { encrypted: cipher != b"none", public, kind: take(&mut { public })?, private })
    }

    /// Reads one of ECDSA, on a curve of that many bytes.
    pub(super) fn ecdsa(&self, size: usize) -> Option<Ecdsa<'a>> {
        let (first, rest) = number(self.private)?;
        let (second, mut rest) = number(rest)?;
        let [kind, _curve, point] = [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?];
        let (written, comment) = (take(&mut rest)?, take(&mut rest)?);
        let written = written.strip_prefix(&[0]).unwrap_or(written);
        let zeros = size.checked_sub(written.len())?;
        let number = [vec![0; zeros].as_slice(), written].concat();
        (first == second && kind == self.kind).then_some(Ecdsa { point, number, comment })
    }
}

fn number(from: &[u8]) -> Option<(u32, &[u8])> {
    let (bytes, rest) = from.split_first_chunk()?;
    Some((u32::from_be_bytes(*bytes), rest))
}
