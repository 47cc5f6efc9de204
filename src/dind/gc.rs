//! When an engine throws build cache away by itself.

use serde_json::{Value, json};

/// How much of the space is left free, in percent, where the engine knows the word: images, containers and whatever
/// else lies on the disk need some.
const FREE: u8 = 20;
/// How much of what the cache may take is kept whatever the disk looks like, in percent.
const KEPT: u8 = 25;

/// `builder.gc` for so many bytes of space, where cache may take `share` percent of `room`. As numbers of bytes: units are powers of two
/// in some versions, and of ten in others. `defaultKeepStorage` is for engines up to 27, the others are for 28 and later.
pub(super) fn gc(space: u64, room: u64, share: u8) -> Value {
    let used = percent(room, share);
    json!({
        "enabled": true,
        "defaultKeepStorage": used.to_string(),
        "defaultMaxUsedSpace": used.to_string(),
        "defaultReservedSpace": percent(used, KEPT).to_string(),
        "defaultMinFreeSpace": percent(space, FREE).to_string(),
    })
}

fn percent(bytes: u64, share: u8) -> u64 {
    bytes / 100 * u64::from(share)
}
