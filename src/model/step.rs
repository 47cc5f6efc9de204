//! What the name of a step tells.

/// Whether a line of the Dockerfile made this step, and it does something. BuildKit shows what it does for itself as
/// steps too, and only the name tells the two apart: `[builder 2/5] RUN make` against `[linux/amd64 internal] load ...`.
pub fn own_step(name: &str) -> bool {
    placed(name).is_some_and(|(place, instruction)| {
        let numbered = place.rsplit(' ').next().is_some_and(is_number_of);
        numbered && !instruction.starts_with("FROM ")
    })
}

/// The base image whose metadata this step looks up.
pub fn base_image(name: &str) -> Option<&str> {
    let (place, what) = placed(name)?;
    what.strip_prefix("load metadata for ").filter(|_| place.ends_with("internal"))
}

fn placed(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix('[')?.split_once("] ")
}

/// `2/5`
fn is_number_of(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.split_once('/').is_some_and(|(number, of)| digits(number) && digits(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_person_are_told_from_the_engines_own() {
        for own in [
            "[2/3] RUN make",
            "[builder 2/3] COPY a b",
            "[linux/amd64 stage-1 1/1] COPY a /a",
            "[linux/arm64 2/2] RUN x",
        ] {
            assert!(own_step(own), "{own}");
        }
        for other in [
            "[1/3] FROM base",
            "[internal] load build context",
            "[linux/amd64 internal] load metadata for docker.io/library/a:1",
            "[auth] library/a:pull token for registry",
            "exporting to image",
            "resolve image config for docker.io/a/b:1",
        ] {
            assert!(!own_step(other), "{other}");
        }
    }

    #[test]
    fn the_base_image_is_named() {
        assert_eq!(base_image("[internal] load metadata for r/a:1"), Some("r/a:1"));
        assert_eq!(base_image("[linux/arm64 internal] load metadata for r/a:1"), Some("r/a:1"));
        assert_eq!(base_image("[2/2] RUN load metadata for r/a:1"), None);
    }
}
