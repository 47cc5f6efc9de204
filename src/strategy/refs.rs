//! Names of cache refs: ordinary tags, made of whose cache it is, of what and for what.

use crate::digest;

/// The most characters of a part. With `caches`, and `_` before each of three, they fit the 128 that a tag may have.
const LONGEST: usize = 39;

/// Hexadecimal digits of the digest that tells apart names which look alike in a tag.
const DIGITS: usize = 16;

/// The tag under which a stage's cache of a scope lies. `stage` is empty for an image's only one; platforms are those
/// that [`is_platform`](crate::model::is_platform) takes.
///
/// `cache_main`, `cache_main_builder`, `cache_feature-x.217d2bf51f16e9dc_builder_linux-arm64`: a part never holds `_`,
/// and the place of each tells what it is. Stage names that differ in case are different here.
pub fn cache_tag(scope: &str, stage: &str, platform: Option<&str>) -> String {
    tag("cache", scope, stage, platform)
}

/// The tag under which the caches of a target and of all its stages lie as one, `caches_main_app`: no part has the other
/// prefix.
pub fn merged_tag(scope: &str, target: &str, platform: Option<&str>) -> String {
    tag("caches", scope, target, platform)
}

fn tag(prefix: &str, scope: &str, stage: &str, platform: Option<&str>) -> String {
    let mut tag = format!("{prefix}_{}", part(scope));
    if !stage.is_empty() || platform.is_some() {
        tag.push('_');
        // Where there is no stage its place stays empty: a stage may be named like a platform.
        if !stage.is_empty() {
            tag.push_str(&part(stage));
        }
    }
    if let Some(platform) = platform {
        tag.push('_');
        tag.push_str(&platform_part(platform));
    }
    tag
}

/// A name as it is, or what it looks like and its digest: the dot tells which.
fn part(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { digested(name) }
}

/// `linux/arm/v7` as `linux-arm-v7`, where its words hold no hyphen of their own.
fn platform_part(platform: &str) -> String {
    let plain = platform.replace('/', "-");
    if is_plain(&plain) && !platform.contains('-') { plain } else { digested(platform) }
}

fn is_plain(name: &str) -> bool {
    name.len() <= LONGEST
        && !name.is_empty()
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn digested(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars().map(|character| character.to_ascii_lowercase()) {
        if slug.len() == LONGEST - DIGITS - 1 {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let digest = digest::sha256(name.as_bytes());
    let hex = digest.strip_prefix("sha256:").unwrap_or(&digest);
    format!("{}.{}", slug.trim_end_matches('-'), hex.get(..DIGITS).unwrap_or(hex))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::model::Reference;

    /// What a registry would be asked for.
    fn is_legal(tag: &str) -> bool {
        format!("r.example/app:{tag}").parse::<Reference>().is_ok_and(|reference| reference.tag() == tag)
    }

    #[test]
    fn names_are_stable_since_caches_lie_under_them() {
        for (scope, stage, platform, tag) in [
            ("main", "", None, "cache_main"),
            ("main", "builder", None, "cache_main_builder"),
            ("main", "", Some("linux/arm64"), "cache_main__linux-arm64"),
            ("main", "builder", Some("linux/arm/v7"), "cache_main_builder_linux-arm-v7"),
            ("feature/x", "", None, "cache_feature-x.217d2bf51f16e9dc"),
            ("Ünïcode", "build_er", None, "cache_n-code.00b24be80c8dd6e9_build-er.af661e2dd3b35066"),
        ] {
            assert_eq!(cache_tag(scope, stage, platform), tag);
        }
        assert_eq!(merged_tag("main", "app", None), "caches_main_app");
    }

    #[test]
    fn nobody_reads_the_cache_of_a_name_that_looks_alike() {
        let scopes = [
            "feature/x",
            "feature-x",
            "feature_x",
            "Feature-x",
            "feature.x",
            "feature/X",
            "-feature-x",
            "main",
            "",
            "/",
            "é",
            "ü",
        ];
        let stages = ["", "builder", "Builder", "linux-arm64", "arm64", "main", "build_er", "build.er"];
        let platforms = [
            None,
            Some("linux/arm64"),
            Some("linux-arm64"),
            Some("arm64"),
            Some("linux/arm-64"),
            Some("Linux/arm64"),
            Some(""),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for scope in scopes {
            for stage in stages {
                for platform in platforms {
                    for tag in [cache_tag(scope, stage, platform), merged_tag(scope, stage, platform)] {
                        assert!(is_legal(&tag), "{tag}");
                        assert!(seen.insert(tag.clone()), "{tag}: {scope} {stage} {platform:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_longest_tag_is_no_longer_than_one_may_be() {
        let long = "a".repeat(LONGEST);
        assert!(is_legal(&merged_tag(&long, &long, Some(&long))));
        let longer = "a".repeat(LONGEST + 1);
        assert!(is_legal(&merged_tag(&longer, &longer, Some(&longer))));
    }

    /// Any byte but those that git forbids in the name of a ref: controls, space and `~^:?*[\`.
    fn branch() -> impl Strategy<Value = String> {
        "[!-)+-9;->@-Z\\]_-}¡-\u{10ffff}]{1,300}"
    }

    proptest! {
        #[test]
        fn every_branch_has_a_legal_tag(scope in branch(), stage in "[a-zA-Z][a-zA-Z0-9._-]{0,99}") {
            for platform in [None, Some("linux/arm/v7"), Some("a-very-long_operating.system/ARCHITECTURE/variant")] {
                let tag = merged_tag(&scope, &stage, platform);
                prop_assert!(is_legal(&tag), "{tag}");
            }
        }

        #[test]
        fn names_that_slug_alike_differ(
            words in proptest::collection::vec("[a-z0-9]{1,8}", 2..6),
            one in "[/_.#-]", other in "[/_.#-]",
        ) {
            let (one, other) = (words.join(&one), words.join(&other));
            prop_assert_eq!(one == other, cache_tag(&one, "", None) == cache_tag(&other, "", None));
        }

        #[test]
        fn parts_stay_apart(
            a in ("[a-c_.-]{1,4}", "[a-c_.-]{0,4}", proptest::option::of("[a-c/-]{1,4}")),
            b in ("[a-c_.-]{1,4}", "[a-c_.-]{0,4}", proptest::option::of("[a-c/-]{1,4}")),
        ) {
            let tag = |(scope, stage, platform): &(String, String, Option<String>)| cache_tag(scope, stage, platform.as_deref());
            prop_assert_eq!(a == b, tag(&a) == tag(&b));
        }
    }
}
