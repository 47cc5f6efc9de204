//! The user's own `daemon.json` and this one.

use serde_json::{Map, Value};

/// Lists to which both add.
const LISTS: [&str; 2] = ["registry-mirrors", "insecure-registries"];
/// Objects whose keys are taken one by one; any other value is taken whole, since its parts belong together.
const DEEP: [&str; 3] = ["features", "default-network-opts", "bridge"];

/// Takes in the user's keys, which win. What of ours they replace is told.
pub(super) fn merge(ours: &mut Map<String, Value>, base: Map<String, Value>, told: &mut Vec<String>) {
    for (key, theirs) in base {
        match (ours.get_mut(&key), theirs) {
            (Some(Value::Object(ours)), Value::Object(theirs)) if DEEP.contains(&key.as_str()) => {
                merge(ours, theirs, told);
            }
            (Some(Value::Array(ours)), Value::Array(theirs)) if LISTS.contains(&key.as_str()) => {
                let new: Vec<_> = theirs.into_iter().filter(|item| !ours.contains(item)).collect();
                ours.extend(new);
            }
            (Some(ours), theirs) => {
                if *ours != theirs {
                    told.push(format!("{key} stays {theirs}, as the base has it; it would be {ours}"));
                }
                *ours = theirs;
            }
            (None, theirs) => drop(ours.insert(key, theirs)),
        }
    }
}
