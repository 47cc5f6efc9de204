//! Names of cache refs: ordinary tags, made of which image's cache it is, whose, of what and for what.

use crate::digest;

// The most characters of the parts. With `caches-`, and `_` before each but the first, they are the 128 of a tag.
const IMAGE: usize = 26;
const SCOPE: usize = 39;
const STAGE: usize = 29;
const PLATFORM: usize = 24;

/// Hexadecimal digits of the digest that tells apart names which look alike in a tag.
const DIGITS: usize = 16;

/// The tag under which a stage's cache of a scope lies. `image` is the image's repository with its registry, where other
/// images' caches may lie beside; `stage` is empty for an image's only one; platforms are those that
/// [`is_platform`](crate::model::is_platform) takes.
///
/// `cache_main`, `cache_main_builder`, `cache_feature-x.217d2bf51f16e9dc_builder_linux-arm64`,
/// `cache-app.DIGEST_main`: a part never holds `_`, and the place of each tells what it is. Stage names that differ in
/// case are different here.
pub fn cache_tag(image: Option<&str>, scope: &str, stage: &str, platform: Option<&str>) -> String {
    tag("cache", image, scope, stage, platform)
}

/// The tag under which the caches of a target and of all its stages lie as one, `caches_main_app`: no part has the other
/// prefix.
pub fn merged_tag(image: Option<&str>, scope: &str, target: &str, platform: Option<&str>) -> String {
    tag("caches", image, scope, target, platform)
}

fn tag(prefix: &str, image: Option<&str>, scope: &str, stage: &str, platform: Option<&str>) -> String {
    let mut tag = prefix.to_owned();
    if let Some(image) = image {
        tag.push('-');
        tag.push_str(&image_part(image));
    }
    tag.push('_');
    tag.push_str(&part(scope, SCOPE));
    if !stage.is_empty() || platform.is_some() {
        tag.push('_');
        // Where there is no stage its place stays empty: a stage may be named like a platform.
        if !stage.is_empty() {
            tag.push_str(&part(stage, STAGE));
        }
    }
    if let Some(platform) = platform {
        tag.push('_');
        tag.push_str(&platform_part(platform));
    }
    tag
}

/// A name as it is, or what it looks like and its digest: the dot tells which.
fn part(name: &str, longest: usize) -> String {
    if is_plain(name, longest) { name.to_owned() } else { digested(name, name, longest) }
}

/// `r.example/team/app` as `app` and the digest of all of it.
fn image_part(image: &str) -> String {
    digested(image.rsplit('/').next().unwrap_or(image), image, IMAGE)
}

/// `linux/arm/v7` as `linux-arm-v7`, where its words hold no hyphen of their own.
fn platform_part(platform: &str) -> String {
    let plain = platform.replace('/', "-");
    if is_plain(&plain, PLATFORM) && !platform.contains('-') { plain } else { digested(platform, platform, PLATFORM) }
}

fn is_plain(name: &str, longest: usize) -> bool {
    name.len() <= longest
        && !name.is_empty()
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What a name looks like, by `looks`, and its digest.
fn digested(looks: &str, name: &str, longest: usize) -> String {
    let mut slug = String::new();
    for character in looks.chars().map(|character| character.to_ascii_lowercase()) {
        if slug.len() == longest - DIGITS - 1 {
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
            assert_eq!(cache_tag(None, scope, stage, platform), tag);
        }
        assert_eq!(merged_tag(None, "main", "app", None), "caches_main_app");
        let app = Some("r.example/group/app");
        assert_eq!(cache_tag(app, "main", "builder", None), "cache-app.b6a2402c760ee4bb_main_builder");
        assert_eq!(merged_tag(app, "main", "app", None), "caches-app.b6a2402c760ee4bb_main_app");
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
        // Two of another group or registry, and two whose last parts look alike.
        let images =
            [None, Some("r.example/a/app"), Some("r.example/b/app"), Some("q.example/a/app"), Some("r.example/a/a.pp")];
        let mut seen = std::collections::BTreeSet::new();
        let all = || scopes.iter().flat_map(|scope| stages.map(|stage| (scope, stage)));
        for (image, (scope, stage)) in images.into_iter().flat_map(|image| all().map(move |rest| (image, rest))) {
            for platform in platforms {
                for tag in [cache_tag(image, scope, stage, platform), merged_tag(image, scope, stage, platform)] {
                    assert!(is_legal(&tag), "{tag}");
                    assert!(seen.insert(tag.clone()), "{tag}: {image:?} {scope} {stage} {platform:?}");
                }
            }
        }
    }

    #[test]
    fn the_longest_tag_is_no_longer_than_one_may_be() {
        for more in [0, 1] {
            let [image, scope, stage, platform] =
                [IMAGE, SCOPE, STAGE, PLATFORM].map(|longest| "a".repeat(longest + more));
            let tag = merged_tag(Some(&image), &scope, &stage, Some(&platform));
            assert!(is_legal(&tag) && tag.len() == 128, "{tag}: {}", tag.len());
        }
    }

    /// Any byte but those that git forbids in the name of a ref: controls, space and `~^:?*[\`.
    fn branch() -> impl Strategy<Value = String> {
        "[!-)+-9;->@-Z\\]_-}¡-\u{10ffff}]{1,300}"
    }

    /// Image, scope, stage and platform.
    type Names = (Option<String>, String, String, Option<String>);

    fn names() -> impl Strategy<Value = Names> {
        let (image, platform) = ("[a-cs/.-]{1,4}", "[a-c/-]{1,4}");
        let option = proptest::option::of::<&str>;
        (option(image), "[a-c_.-]{1,4}", "[a-c_.-]{0,4}", option(platform))
    }

    proptest! {
        #[test]
        fn every_branch_has_a_legal_tag(
            image in proptest::option::of("r\\.example(/[a-z0-9]{1,60}([._]|-{1,30})[a-z0-9]{1,60}){1,2}"),
            scope in branch(), stage in "[a-zA-Z][a-zA-Z0-9._-]{0,99}",
        ) {
            for platform in [None, Some("linux/arm/v7"), Some("a-very-long_operating.system/ARCHITECTURE/variant")] {
                let tag = merged_tag(image.as_deref(), &scope, &stage, platform);
                prop_assert!(is_legal(&tag), "{tag}");
            }
        }

        #[test]
        fn names_that_slug_alike_differ(
            words in proptest::collection::vec("[a-z0-9]{1,8}", 2..6),
            one in "[/_.#-]", other in "[/_.#-]",
        ) {
            let (one, other) = (words.join(&one), words.join(&other));
            prop_assert_eq!(one == other, cache_tag(None, &one, "", None) == cache_tag(None, &other, "", None));
            let image = |name| cache_tag(Some(name), "main", "", None);
            prop_assert_eq!(one == other, image(&one) == image(&other));
        }

        #[test]
        fn parts_stay_apart(
            a in names(), b in names(),
        ) {
            let tag = |(image, scope, stage, platform): &Names| {
                [cache_tag, merged_tag].map(|tag| tag(image.as_deref(), scope, stage, platform.as_deref()))
            };
            let (tags, others) = (tag(&a), tag(&b));
            prop_assert_eq!(a == b, tags[0] == others[0]);
            prop_assert_eq!(a == b, tags[1] == others[1]);
            prop_assert!(tags[0] != others[1] && tags[1] != others[0]);
        }
    }
}
