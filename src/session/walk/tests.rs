#![allow(clippy::unwrap_used)]

use std::fs as disk;

use super::super::filter::Selection;
use super::*;

fn walk(root: &Path, selection: Selection) -> Vec<Stat> {
    let mut walk = Walk::new(root.to_owned(), Filter::new(root, selection).unwrap()).unwrap();
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
    let mut walk = Walk::new(root.path().to_owned(), filter).unwrap();
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
