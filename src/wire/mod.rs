//! Our protobuf <-> model, and failure kind <-> gRPC status. Pure.
