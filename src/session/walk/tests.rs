#![allow(clippy::unwrap_used)]

use std::fs as disk;
use std::path::Path;

use super::super::filter::Selection;
use super::*;

fn walk(root: &Path, selection: Selection) -> Vec<Stat> {
    walk_in(Root::open(root).unwrap(), selection)
}

fn walk_in(root: Root, selection: Selection) -> Vec<Stat> {
    let filter = Filter::new(root.path(), selection).unwrap();
    let mut walk = Walk::new(Arc::new(root), filter).unwrap();
    let mut stats = Vec::new();
    while let Some(more) = walk.step().unwrap() {
        stats.extend(more);
    }
    stats
}

#[test]
fn a_deep_tree_needs_no_deep_stack() {
    let root = tempfile::tempdir().unwrap();
    let mut deepest = root.path().to_owned();
    for _ in 0..1500 {
        deepest.push("d");
    }
    disk::create_dir_all(&deepest).unwrap();
    assert_eq!(walk(root.path(), Selection::default()).len(), 1500);
}

#[test]
fn a_file_that_vanishes_during_the_walk_was_never_there_and_its_neighbours_still_are() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        disk::write(root.path().join(name), name).unwrap();
    }
    let filter = Filter::new(root.path(), Selection::default()).unwrap();
    let mut walk = Walk::new(Arc::new(Root::open(root.path()).unwrap()), filter).unwrap();
    disk::remove_file(root.path().join("b")).unwrap();
    let mut paths = Vec::new();
    while let Some(stats) = walk.step().unwrap() {
        paths.extend(stats.map(|stat| stat.path));
    }
    assert_eq!(paths, [b"a", b"c"]);
}

#[test]
fn a_device_keeps_its_numbers() {
    let root = tempfile::tempdir().unwrap();
    let number = fs::makedev(300, 70_000);
    let made = fs::mknodat(fs::CWD, root.path().join("device"), FileType::CharacterDevice, 0o644.into(), number);
    if made.is_err() {
        return;
    }
    let stats = walk(root.path(), Selection::default());
    assert_eq!(stats[0].mode, mode::DEVICE | mode::CHARACTER_DEVICE | 0o644);
    assert_eq!((stats[0].devmajor, stats[0].devminor), (300, 70_000));
}

#[test]
fn a_directory_swapped_for_a_link_tells_nothing_of_what_lies_outside() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    disk::create_dir_all(root.path().join("a/b")).unwrap();
    disk::write(root.path().join("a/b/file"), "").unwrap();
    disk::create_dir_all(outside.path().join("b")).unwrap();
    disk::write(outside.path().join("b/secret"), "").unwrap();
    let filter = Filter::new(root.path(), Selection::default()).unwrap();
    let mut walk = Walk::new(Arc::new(Root::open(root.path()).unwrap()), filter).unwrap();
    let mut stats: Vec<_> = walk.step().unwrap().unwrap().collect();
    disk::rename(root.path().join("a"), root.path().join("moved")).unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("a")).unwrap();
    let failure = loop {
        match walk.step() {
            Ok(more) => stats.extend(more.unwrap()),
            Err(error) => break error.to_string(),
        }
    };
    assert!(failure.starts_with("cannot read ") && failure.contains("a/b"), "{failure}");
    assert_eq!(stats.iter().map(|stat| &stat.path[..]).collect::<Vec<_>>(), [&b"a"[..]]);
}

#[test]
fn an_old_kernel_and_a_missing_proc_change_nothing_of_what_is_sent() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    for path in ["a/b/c", "a/d", "e/f"] {
        disk::create_dir_all(at(path).parent().unwrap()).unwrap();
        disk::write(at(path), path).unwrap();
    }
    std::os::unix::fs::symlink("../d", at("a/b/link")).unwrap();
    // Both need rights or a file system that not everybody has.
    for (path, name) in [("a/d", "user.key"), ("a/b", "user.key"), ("a/b/link", "trusted.key")] {
        let _ = fs::lsetxattr(at(path), name, path.as_bytes(), fs::XattrFlags::empty());
    }
    let selection =
        || Selection { exclude: vec![b"a".to_vec(), b"!a/b".to_vec(), b"!a/d".to_vec()], ..Selection::default() };
    let usual = walk(root.path(), selection());
    let paths: Vec<_> = usual.iter().map(|stat| stat.path.escape_ascii().to_string()).collect();
    assert_eq!(paths, ["a", "a/b", "a/b/c", "a/b/link", "a/d", "e", "e/f"]);
    for stat in &usual {
        let place = root.path().join(OsStr::from_bytes(&stat.path));
        let keys = |name: &str| fs::lgetxattr(&place, name, &mut [0; 64]).is_ok();
        let kept = stat.xattrs.iter().filter(|xattr| xattr.name.ends_with(b".key"));
        assert!(kept.clone().all(|xattr| xattr.value == stat.path));
        assert_eq!(kept.count(), usize::from(keys("user.key") || keys("trusted.key")), "{}", place.display());
    }
    assert_eq!(walk_in(Root::unguarded(root.path()).unwrap(), selection()), usual);
}
