//! Values of flags: text > what it means. clap says which flag and which value where one cannot be read.

use std::time::Duration;

use crate::model::{InvalidReference, Reference, is_platform};

/// The fields of `KEY=VALUE,KEY=VALUE`. Messages have no value: it may be a secret in the wrong place.
pub(super) fn fields(text: &str) -> impl Iterator<Item = Result<(&str, &str), String>> {
    text.split(',').map(|field| field.split_once('=').ok_or_else(|| "a field of it is no KEY=VALUE".to_owned()))
}

pub(super) fn reference(text: &str) -> Result<Reference, String> {
    // clap says which argument and which value.
    text.parse().map_err(|e: InvalidReference| e.problem.to_owned())
}

/// A name for something, not the name of something that is there.
pub(super) fn tag(text: &str) -> Result<Reference, String> {
    let reference = reference(text)?;
    if reference.digest().is_some() {
        return Err("a tag is wanted, and not a digest".to_owned());
    }
    Ok(reference)
}

pub(super) fn build_arg(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.trim().is_empty() {
        return Err("a build arg needs a name, as in NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value))
}

/// A further context: names are those of images, in the form in which a Dockerfile may have them.
pub(super) fn build_context(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "a build context is NAME=VALUE".to_owned())?;
    let name = name.parse::<Reference>().map_err(|e| format!("its name: {}", e.problem))?;
    if name.digest().is_some() {
        return Err("its name has a digest".to_owned());
    }
    Ok((name.familiar(), value.to_owned()))
}

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.trim().is_empty() {
        return Err("a label needs a name, as in NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn platform(text: &str) -> Result<String, String> {
    if is_platform(text) {
        return Ok(text.to_owned());
    }
    Err("a platform is OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64".to_owned())
}

/// Longer times are mistakes, and overflow clocks.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text)
        .ok()
        .filter(|time| *time <= LONGEST)
        .ok_or_else(|| "a time is a number with a unit, such as 500ms, 60s, 5m or 24h, up to ten years".to_owned())
}

pub(super) fn age_filter(text: &str) -> Result<Duration, String> {
    match text.split_once('=') {
        Some(("until" | "unused-for", age)) => duration(age),
        _ => Err("the filters are until=TIME and unused-for=TIME, such as until=24h".to_owned()),
    }
}

/// One filter of `remora du`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum HeldFilter {
    Kind(String),
    UnusedFor(Duration),
}

pub(super) fn held_filter(text: &str) -> Result<HeldFilter, String> {
    match text.split_once('=') {
        Some(("type", kind)) if !kind.is_empty() => Ok(HeldFilter::Kind(kind.to_owned())),
        Some(("until" | "unused-for", age)) => duration(age).map(HeldFilter::UnusedFor),
        _ => Err("the filters are type=TYPE and unused-for=TIME, such as type=regular".to_owned()),
    }
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    let size = text.parse::<bytesize::ByteSize>();
    size.map(|size| size.as_u64()).map_err(|_| "a size is a number with a unit, such as 500MB or 10GB".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_read_as_docker_reads_them() {
        assert_eq!(build_arg("A=b=c").unwrap(), ("A".to_owned(), Some("b=c".to_owned())));
        assert_eq!(build_arg("A").unwrap(), ("A".to_owned(), None));
        let context = build_context("alpine:latest=docker-image://b=c").unwrap();
        assert_eq!(context, ("alpine".to_owned(), "docker-image://b=c".to_owned()));
        for odd in ["a", "=b", "A=b", "a b=c", "a/=b"] {
            assert!(build_context(odd).is_err(), "{odd}");
        }
        assert_eq!(age_filter("until=1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(size("10GB").unwrap(), 10_000_000_000);
    }
}
