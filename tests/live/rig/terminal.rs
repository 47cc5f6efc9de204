//! A pseudo terminal, and the client in front of it.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::Client;

/// How long a build on a terminal may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// A client whose standard error is a terminal. Dropping it kills it.
pub(crate) struct OnTerminal {
    process: Child,
    master: File,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

fn resize(terminal: &File, (columns, rows): (u16, u16)) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

impl Client {
    /// `remora build --network host ARGS...` on a terminal of so many columns and rows.
    pub(crate) fn build_on_terminal(&self, size: (u16, u16), args: &[&str]) -> OnTerminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let master = File::from(master);
        resize(&master, size);
        let process = self
            .command(&[&["build", "--network", "host"], args].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(terminal)
            .spawn()
            .unwrap();
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let (mut from, to) = (master.try_clone().unwrap(), Arc::clone(&shown));
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            // Once nobody has the terminal open any more, reading fails.
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                to.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        OnTerminal { process, master, shown, reader: Some(reader) }
    }
}

impl OnTerminal {
    /// What was written to it so far.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    pub(crate) fn resize(&self, size: (u16, u16)) {
        resize(&self.master, size);
    }

    /// Sends a signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Its exit code, and all that was written.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let process = &mut self.process;
        let code = super::eventually("the client ends", PATIENCE, || process.try_wait().unwrap()).code();
        self.reader.take().unwrap().join().unwrap();
        (code, self.shown())
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The rows that a terminal of this size shows after all this, with what scrolled away above; none is empty.
pub(crate) fn rows(shown: &str, (columns, rows): (u16, u16)) -> Vec<String> {
    let mut parser = vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 1000);
    parser.process(shown.as_bytes());
    let screen = parser.screen_mut();
    screen.set_scrollback(usize::MAX);
    let mut all = Vec::new();
    for back in (0..=screen.scrollback()).rev() {
        screen.set_scrollback(back);
        let take = if back == 0 { rows.into() } else { 1 };
        all.extend(screen.rows(0, columns).take(take).map(|row| row.trim_end().to_owned()));
    }
    all.retain(|row| !row.is_empty());
    all
}
