//! The messages of fsutil's transfer protocol, wire compatible with `github.com/tonistiigi/fsutil/types`.
//!
//! Declared here because names and link targets are bytes: a file name need not be UTF-8, and prost's `string` refuses
//! what is not. Pure.

use bytes::{BufMut, Bytes};
use prost::Message;

/// What a packet is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    /// Describes a file; without `stat`, the walk has ended.
    Stat = 0,
    /// Asks for the content of file `id`, the index of its `Stat`.
    Req = 1,
    /// Some content of file `id`; empty, its end.
    Data = 2,
    /// The receiver has all it wants; echoed by the sender.
    Fin = 3,
    /// Why the transfer fails, in `data`.
    Err = 4,
}

/// One message, in either direction.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Packet {
    #[prost(enumeration = "Kind", tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) stat: Option<Stat>,
    #[prost(uint32, tag = "3")]
    pub(crate) id: u32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) data: Bytes,
}

/// What is known of a file. The engine's cache key for COPY holds all of it but `mod_time`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stat {
    /// Relative to the root, with slashes.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) path: Vec<u8>,
    /// Go's `FileMode`.
    #[prost(uint32, tag = "2")]
    pub(crate) mode: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) uid: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) gid: u32,
    /// Bytes; 0 for a directory.
    #[prost(int64, tag = "5")]
    pub(crate) size: i64,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub(crate) mod_time: i64,
    /// Where a symlink points, or the path, already sent, of the same inode.
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) linkname: Vec<u8>,
    #[prost(int64, tag = "8")]
    pub(crate) devmajor: i64,
    #[prost(int64, tag = "9")]
    pub(crate) devminor: i64,
    #[prost(message, repeated, tag = "10")]
    pub(crate) xattrs: Vec<Xattr>,
}

/// One entry of `map<string, bytes>`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Xattr {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// Room for everything of a data packet but the data: gRPC's prefix (5), the kind (2), id and length (6 each).
pub(crate) const DATA_HEADER_MAX: usize = 19;

/// Appends the packet as one gRPC message: a flag, four bytes of length, the packet.
pub(crate) fn frame(packet: &Packet, out: &mut Vec<u8>) {
    out.put_u8(0);
    out.put_u32(u32::try_from(packet.encoded_len()).unwrap_or(u32::MAX));
    packet.encode_raw(out);
}

/// Appends what stands before `length` bytes of file `id` in a gRPC message. With 0, that is the whole message.
pub(crate) fn frame_data_header(id: u32, length: usize, out: &mut Vec<u8>) {
    use prost::encoding::{encode_varint, encoded_len_varint};
    let id_length = if id == 0 { 0 } else { 1 + encoded_len_varint(u64::from(id)) };
    let data_length = if length == 0 { 0 } else { 1 + encoded_len_varint(length as u64) + length };
    out.put_u8(0);
    out.put_u32(u32::try_from(2 + id_length + data_length).unwrap_or(u32::MAX));
    out.put_slice(&[0x08, Kind::Data as u8]);
    if id != 0 {
        out.put_u8(0x18);
        encode_varint(u64::from(id), out);
    }
    if length != 0 {
        out.put_u8(0x22);
        encode_varint(length as u64, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_packet_written_by_hand_reads_as_one() {
        for (id, length) in [(0, 0), (0, 1), (1, 0), (u32::MAX, 300), (200, 1 << 20)] {
            let data = vec![7; length];
            let mut by_hand = Vec::new();
            frame_data_header(id, length, &mut by_hand);
            assert!(by_hand.len() <= DATA_HEADER_MAX);
            by_hand.extend(&data);
            let mut by_prost = Vec::new();
            frame(&Packet { kind: Kind::Data.into(), stat: None, id, data: data.into() }, &mut by_prost);
            assert_eq!(by_hand, by_prost, "id {id}, {length} bytes");
        }
    }
}
