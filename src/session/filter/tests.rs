#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn bytes(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn filter(include: &[&str], exclude: &[&str]) -> Filter {
    let selection = Selection { include: bytes(include), exclude: bytes(exclude), follow: Vec::new() };
    Filter::new(Path::new("/"), selection).unwrap()
}

fn on_directory(filter: &Filter, path: &str) -> Verdict {
    filter.judge(path.as_bytes(), None, Some(&mut DirMatch::default())).unwrap()
}

/// What is passed over is never read: that is what makes ignoring `node_modules` fast.
#[test]
fn a_directory_in_which_nothing_can_be_sent_is_passed_over() {
    let walked_for_nothing = Verdict { send: false, descend: true };
    assert_eq!(on_directory(&filter(&[], &["node_modules"]), "node_modules"), PASS_OVER);
    assert_eq!(on_directory(&filter(&[], &["a", "!b/c"]), "a"), PASS_OVER);
    assert_eq!(on_directory(&filter(&[], &["a", "!a/b/c"]), "a"), walked_for_nothing);
    assert_eq!(on_directory(&filter(&[], &["a", "!a/**"]), "a"), walked_for_nothing);
    assert_eq!(on_directory(&filter(&[], &["a", "!**/c"]), "a"), walked_for_nothing);
    assert_eq!(on_directory(&filter(&["src/lib"], &[]), "docs"), PASS_OVER);
    assert_eq!(on_directory(&filter(&["src/lib"], &[]), "src"), walked_for_nothing);
    assert_eq!(on_directory(&filter(&["src"], &[]), "src2"), PASS_OVER);
    assert_eq!(on_directory(&filter(&["**/lib"], &[]), "docs"), walked_for_nothing);
    assert_eq!(on_directory(&filter(&["src"], &["src/x"]), "src"), Verdict { send: true, descend: true });
}

fn followed(root: &Path, paths: &[&str]) -> Option<Vec<String>> {
    let targets = follow::resolve(root, &bytes(paths)).unwrap();
    targets.map(|targets| targets.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect())
}

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|&path| path.to_owned()).collect()
}

#[test]
fn a_link_is_followed_as_if_the_context_were_the_root() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    fs::create_dir_all(at("dir")).unwrap();
    fs::create_dir_all(at("foo")).unwrap();
    fs::write(at("dir/foo"), "").unwrap();
    symlink("foo", at("dir/l1")).unwrap();
    symlink("/dir/l1", at("l2")).unwrap();
    symlink("../../../..", at("foo/bar")).unwrap();
    symlink("/foo/bar/baz", at("dir/out")).unwrap();
    symlink("/", at("root")).unwrap();
    assert_eq!(followed(root.path(), &["l2", "bar"]), Some(owned(&["bar", "dir/foo", "dir/l1", "l2"])));
    assert_eq!(
        followed(root.path(), &["dir/out"]),
        Some(owned(&["baz", "dir/out", "foo/bar"])),
        "no way out of the context"
    );
    assert_eq!(followed(root.path(), &["dir/l*"]), Some(owned(&["dir/foo", "dir/l*"])));
    assert_eq!(
        followed(root.path(), &["dir", "dir/*1"]),
        Some(owned(&["dir"])),
        "what lies in a directory is not repeated"
    );
    assert_eq!(followed(root.path(), &["missing/too", "f*/x/t*"]), Some(owned(&["f*/x/t*", "missing/too"])));
    assert_eq!(followed(root.path(), &["root/dir"]), Some(owned(&["dir", "root"])));
    assert_eq!(followed(root.path(), &["root"]), None, "a link to the root asks for everything");
    assert_eq!(followed(root.path(), &["."]), None);
}

#[test]
fn nothing_outside_the_context_is_looked_at_whatever_path_the_engine_sends() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("context");
    fs::create_dir_all(&root).unwrap();
    symlink("found-out", outside.path().join("link")).unwrap();
    for path in ["../link", "../l*", "a/../../link", "/../link", "../../../link"] {
        let name = if path.contains('*') { "l*" } else { "link" };
        assert_eq!(followed(&root, &[path]), Some(owned(&[name])), "{path}");
    }
    assert_eq!(followed(&root, &[".."]), None, "the root itself");
    symlink("inner", root.join("link")).unwrap();
    assert_eq!(followed(&root, &["../l*"]), Some(owned(&["inner", "l*"])));
}

#[test]
fn links_in_a_circle_end() {
    let root = tempfile::tempdir().unwrap();
    let link = |target: &str, name: &str| symlink(target, root.path().join(name)).unwrap();
    link("l1", "l1");
    link("l3", "l2");
    link("l2", "l3");
    link("deeper/deeper", "deeper");
    assert_eq!(followed(root.path(), &["l1", "l3", "deeper/x"]), Some(owned(&["deeper", "l1", "l2", "l3"])));
}

#[test]
fn a_long_chain_of_links_does_not_exhaust_the_stack() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..5000 {
        symlink(format!("l{}", index + 1), root.path().join(format!("l{index}"))).unwrap();
    }
    assert_eq!(followed(root.path(), &["l0"]).unwrap().len(), 5001);
}
