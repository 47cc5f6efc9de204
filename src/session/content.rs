//! The messages of `containerd.services.content.v1`, by which an engine reads blobs through a session.
//!
//! They are declared here: no crate brings them, and of each only what is used matters.

use bytes::Bytes;
use prost::Message;

/// Metadata of a call: which of the session's stores it is for.
pub const STORE: &str = "buildkit-attachable-store-id";

/// Asks for a blob's size.
#[derive(Clone, PartialEq, Message)]
pub struct InfoRequest {
    /// The blob's.
    #[prost(string, tag = "1")]
    pub digest: String,
}

/// Tells a blob's size.
#[derive(Clone, PartialEq, Message)]
pub struct InfoResponse {
    /// What is known of it.
    #[prost(message, optional, tag = "1")]
    pub info: Option<Info>,
}

/// What is known of a blob.
#[derive(Clone, PartialEq, Message)]
pub struct Info {
    /// The blob's.
    #[prost(string, tag = "1")]
    pub digest: String,
    /// Bytes.
    #[prost(int64, tag = "2")]
    pub size: i64,
}

/// Asks for a part of a blob.
#[derive(Clone, PartialEq, Message)]
pub struct ReadRequest {
    /// The blob's.
    #[prost(string, tag = "1")]
    pub digest: String,
    /// Where the part begins.
    #[prost(int64, tag = "2")]
    pub offset: i64,
    /// Bytes; 0 for all that follow.
    #[prost(int64, tag = "3")]
    pub size: i64,
}

/// A piece of the part.
#[derive(Clone, PartialEq, Message)]
pub struct ReadResponse {
    /// Where it begins in the blob.
    #[prost(int64, tag = "1")]
    pub offset: i64,
    /// Its bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
}
