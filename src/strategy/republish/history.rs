//! The history of an image config: an entry for each line of the Dockerfile, with or without a layer.

use serde_json::{Map, Value};

const CREATED: &str = "created";

/// One entry, with all that it says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry(Map<String, Value>);

/// All entries of a config; `None` if they are none.
pub(super) fn entries(config: &Map<String, Value>) -> Option<Vec<Entry>> {
    let known = |entry: &Map<String, Value>| {
        matches!(entry.get("empty_layer"), None | Some(Value::Null | Value::Bool(_)))
            && ["created_by", "comment", CREATED].iter().all(|key| entry.get(*key).is_none_or(is_text))
    };
    match config.get("history") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|entry| entry.as_object().filter(|entry| known(entry)).cloned().map(Entry)).collect()
        }
        Some(_) => None,
    }
}

fn is_text(value: &Value) -> bool {
    value.is_string() || value.is_null()
}

impl Entry {
    /// Whether it made a layer.
    pub(super) fn has_layer(&self) -> bool {
        self.0.get("empty_layer") != Some(&Value::Bool(true))
    }

    pub(super) fn created(&self) -> Option<&Value> {
        self.0.get(CREATED).filter(|date| !date.is_null())
    }

    /// Whether both were made by the same step.
    pub(super) fn says_the_same_step(&self, other: &Self) -> bool {
        ["created_by", "comment"].iter().all(|key| self.text(key) == other.text(key))
    }

    /// Whether `other`, of an exported image, is this one of the frontend: a date that the frontend gave (a base
    /// image's, or `SOURCE_DATE_EPOCH`) stays, and one that it left open was filled in.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let texts = ["created_by", "comment", "author"];
        self.has_layer() == other.has_layer()
            && texts.iter().all(|key| self.text(key) == other.text(key))
            && self.created().is_none_or(|date| Some(date) == other.created())
            && other.0.keys().chain(self.0.keys()).all(|key| {
                let known = texts.contains(&key.as_str()) || ["empty_layer", CREATED].contains(&key.as_str());
                known || self.0.get(key) == other.0.get(key)
            })
    }

    pub(super) fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The history of a build, with the dates that BuildKit would fill in where the frontend left them open. A layer has
/// the date of that layer in the cached image. Of the entries that are open then, the first has the next date after
/// it, or the last before it where there is none; each further one has that of the entry before.
pub(super) fn dated(mut entries: Vec<Entry>, cached: &[Entry]) -> Vec<Entry> {
    let layers = entries.iter_mut().filter(|entry| entry.has_layer());
    for (entry, cached) in layers.zip(cached.iter().filter(|entry| entry.has_layer())) {
        if let (None, Some(date)) = (entry.created(), cached.created()) {
            entry.0.insert(CREATED.to_owned(), date.clone());
        }
    }
    let Some(open) = entries.iter().position(|entry| entry.created().is_none()) else { return entries };
    let after = entries[open..].iter().find_map(Entry::created);
    let Some(mut date) = after.or_else(|| entries[..open].iter().rev().find_map(Entry::created)).cloned() else {
        return entries;
    };
    for entry in &mut entries[open..] {
        match entry.created() {
            Some(own) => date = own.clone(),
            None => drop(entry.0.insert(CREATED.to_owned(), date.clone())),
        }
    }
    entries
}
