//! Which colours, if any.

use anstyle::{Ansi256Color, AnsiColor, Color, RgbColor, Style};

/// What is painted how. Nothing at all is [`none`](Self::none).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Colours {
    /// A step that runs, or worked.
    pub(super) run: Style,
    /// A step that came from the cache.
    pub(super) cached: Style,
    pub(super) warning: Style,
    pub(super) error: Style,
    /// Output and figures, beside the names of steps.
    pub(super) faint: Style,
}

/// Whether colours are wanted, by <https://no-color.org> and <https://bixense.com/clicolors>. `renders` is whether
/// whoever shows the output later understands them.
pub(super) fn wanted(terminal: bool, renders: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, value: &str| variable(name).is_some_and(|found| found == value);
    match () {
        () if variable("NO_COLOR").is_some() => false,
        () if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        () if is("CLICOLOR", "0") || is("TERM", "dumb") => false,
        () => terminal || renders,
    }
}

impl Colours {
    pub(super) const fn none() -> Self {
        let none = Style::new();
        Self { run: none, cached: none, warning: none, error: none, faint: none }
    }

    /// With what `BUILDKIT_COLORS` says, such as `run=light-blue:error=255,0,0`. What cannot be read changes nothing.
    pub(super) fn of(text: &str) -> Self {
        let mut colours = Self {
            run: AnsiColor::Cyan.on_default(),
            cached: AnsiColor::Green.on_default(),
            warning: AnsiColor::Yellow.on_default(),
            error: AnsiColor::Red.on_default().bold(),
            faint: Style::new().dimmed(),
        };
        for (what, colour) in text.split(':').filter_map(|field| field.split_once('=')) {
            let Some(style) = colour_of(colour).map(|colour| Style::new().fg_color(Some(colour))) else { continue };
            match what.to_ascii_lowercase().as_str() {
                "run" => (colours.run, colours.cached) = (style, style),
                "warning" => colours.warning = style,
                "error" => colours.error = style,
                _ => {}
            }
        }
        colours
    }
}

fn colour_of(text: &str) -> Option<Color> {
    const NAMES: &[&str] = &["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
    let text = text.to_ascii_lowercase();
    if let Some((red, rest)) = text.split_once(',') {
        let (green, blue) = rest.split_once(',')?;
        return Some(RgbColor(red.parse().ok()?, green.parse().ok()?, blue.parse().ok()?).into());
    }
    let (name, bright) = text.strip_prefix("light-").map_or((text.as_str(), 0), |name| (name, 8));
    let number = NAMES.iter().position(|known| *known == name)?;
    Some(Ansi256Color(u8::try_from(number).ok()? + bright).into_ansi()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colours_of_docker_are_taken() {
        let colours = Colours::of("run=light-blue:ERROR=1,2,3:warning=nonsense:x");
        assert_eq!(colours.run, AnsiColor::BrightBlue.on_default());
        assert_eq!(colours.error.render().to_string(), "\x1b[38;2;1;2;3m");
        assert_eq!(colours.warning, AnsiColor::Yellow.on_default());
        assert_eq!(Colours::of("").warning, AnsiColor::Yellow.on_default());
    }
}
