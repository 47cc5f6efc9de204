//! Manual pages of a command line: one for each command, for packagers.

use std::{fs, io, path::Path};

use clap::Command;
use clap_mangen::Man;
use roff::{Roff, roman};

/// Writes `remora.1`, `remora-build.1` and so on into this directory, and tells their paths. The error is a line that
/// names the path.
pub(crate) fn write(command: Command, directory: &Path) -> Result<Vec<String>, String> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let commands: Vec<_> = std::iter::once(&command).chain(command.get_subcommands()).collect();
    let mut pages = Vec::new();
    for command in commands {
        let man = Man::new(command.clone());
        let path = directory.join(man.get_filename());
        page(&man, command)
            .and_then(|page| fs::write(&path, page))
            .map_err(|error| format!("{}: {error}; name a directory that is there", path.display()))?;
        pages.push(path.display().to_string());
    }
    Ok(pages)
}

fn page(man: &Man, command: &Command) -> io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_uppercase();
    // No date, so that the same version has the same pages. It is written by hand: a field that is empty would be left
    // out, and the next one taken for it.
    let mut page = format!(".TH {name} 1 \"\" \"remora {}\" \"Remora\"\n", env!("CARGO_PKG_VERSION")).into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(after) = command.get_after_help() {
        sections(&after.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// Texts such as `Examples:` with lines below, which keep their lines.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::default();
    for block in text.split("\n\n") {
        let (title, lines) = block.split_once('\n').unwrap_or((block, ""));
        roff.control("SH", [title.trim_end_matches(':').to_uppercase().as_str()]);
        roff.control("nf", []);
        for line in lines.lines() {
            roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        roff.control("fi", []);
    }
    roff
}
