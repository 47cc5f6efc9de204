//! What a `DiffCopy` call asks for: it stands in the call's metadata. Pure.

use http::HeaderMap;

use super::super::filter::Selection;

/// Name of a directory, and which part of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) directory: String,
    pub(super) selection: Selection,
}

impl Ask {
    /// Reads the metadata. The error is one line.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, String> {
        let directory = values(headers, "dir-name")?.into_iter().next().unwrap_or_default();
        Ok(Self {
            directory: String::from_utf8_lossy(&directory).into_owned(),
            selection: Selection {
                include: values(headers, "include-patterns")?,
                exclude: values(headers, "exclude-patterns")?,
                follow: values(headers, "followpaths")?,
            },
        })
    }
}

/// All values of a key, as bytes: engine 20.10 sends raw UTF-8, newer ones encode like a URL's query and say so.
fn values(headers: &HeaderMap, key: &str) -> Result<Vec<Vec<u8>>, String> {
    let encoded = headers.get(format!("{key}-encoded"));
    let encoded = encoded.is_some_and(|flag| matches!(flag.as_bytes(), b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True"));
    let raw = headers.get_all(key).iter().map(http::HeaderValue::as_bytes);
    if !encoded {
        return Ok(raw.map(<[u8]>::to_vec).collect());
    }
    raw.map(|value| unescape(value).ok_or_else(|| format!("the engine sent a {key} that is wrongly encoded"))).collect()
}

fn unescape(value: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            _ => byte,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderValue;

    #[test]
    fn names_arrive_whole_from_old_and_new_engines() {
        let mut headers = HeaderMap::new();
        headers.insert("dir-name", HeaderValue::from_static("context"));
        headers.append("exclude-patterns", HeaderValue::from_bytes("caf\u{e9}".as_bytes()).unwrap());
        headers.append("exclude-patterns", HeaderValue::from_static("a+b%20"));
        headers.append("followpaths", HeaderValue::from_static("a+b%2Bc"));
        headers.append("followpaths", HeaderValue::from_static("%C3%A9%ff"));
        headers.append("followpaths-encoded", HeaderValue::from_static("1"));
        let ask = Ask::read(&headers).unwrap();
        assert_eq!(ask.directory, "context");
        assert_eq!(ask.selection.exclude, ["caf\u{e9}".as_bytes().to_vec(), b"a+b%20".to_vec()]);
        assert_eq!(ask.selection.follow, [b"a b+c".to_vec(), b"\xc3\xa9\xff".to_vec()]);
        assert!(ask.selection.include.is_empty());
    }

    #[test]
    fn a_wrong_encoding_is_refused_rather_than_guessed() {
        for value in ["%", "%2", "%zz", "%+1"] {
            let mut headers = HeaderMap::new();
            headers.append("include-patterns", HeaderValue::from_static(value));
            headers.append("include-patterns-encoded", HeaderValue::from_static("1"));
            assert!(Ask::read(&headers).is_err(), "{value}");
        }
    }
}
