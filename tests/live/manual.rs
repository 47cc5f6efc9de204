//! The manual pages, as a reader of them meets them.

use std::process::Command;

use crate::rig::{self, Client};

#[test]
#[ignore = "needs what tests/run.sh installs"]
fn manual_pages_have_no_errors() {
    let dir = rig::scratch();
    let pages = Client::new("unix:///nowhere").run(&["man", dir.path().to_str().unwrap()]).code(0).stdout;
    assert!(pages.lines().count() > 8, "{pages}");
    for page in pages.lines() {
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "error", page]).output().unwrap();
        assert!(lint.status.success(), "{page}: {}", String::from_utf8_lossy(&lint.stdout));
    }
}
