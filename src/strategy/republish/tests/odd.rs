//! Whatever lies in a registry, nothing panics.

use proptest::prelude::*;

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{1,8}", inner), 0..4).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

/// Puts `with` somewhere into `value`, as `path` leads.
fn put(value: &mut Value, path: &[usize], with: Value) {
    let Some((step, rest)) = path.split_first() else { return *value = with };
    let next = match value {
        Value::Array(list) if !list.is_empty() => {
            let at = step % list.len();
            list.get_mut(at)
        }
        Value::Object(map) if !map.is_empty() => {
            let at = step % map.len();
            map.values_mut().nth(at)
        }
        _ => None,
    };
    match next {
        Some(next) => put(next, rest, with),
        None => *value = with,
    }
}

proptest! {
    #[test]
    fn nothing_that_is_odd_makes_it_fail(
        path in prop::collection::vec(any::<usize>(), 0..5),
        with in any_json(),
        whose in 0..3,
    ) {
        let mut build = Build::same();
        match whose {
            0 => put(&mut build.wanted, &path, with),
            1 => put(&mut build.cached, &path, with),
            _ => build.change_record(|records| {
                let mut all = Value::from(records.clone());
                put(&mut all, &path, with);
                *records = all.as_array().cloned().unwrap_or_default();
            }),
        }
        let what = build.republish();
        if let Republish::NewConfig(_) = &what {
            prop_assert_eq!(&config(what)["rootfs"], &build.cached["rootfs"]);
        }
        let _ = inline_cache(build.cached.to_string().as_bytes()).map(|cache| cache.key_of_top());
    }

    #[test]
    fn nothing_that_is_cut_short_makes_it_fail(end in 0..4000_usize, bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let (wanted, cached) = (fixture!("28-one-wanted").as_bytes(), fixture!("28-one-pushed").as_bytes());
        let layers = layers(fixture!("28-manifest"));
        republish(&wanted[..end.min(wanted.len())], cached, &layers);
        republish(wanted, &cached[..end.min(cached.len())], &layers);
        republish(&bytes, &bytes, &layers);
        inline_cache(&bytes);
        with_config(&bytes, "sha256:new", 7);
    }
}
