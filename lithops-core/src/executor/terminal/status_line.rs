//! One line below the program's own output on a terminal, which takes nothing of that output away.
//!
//! The line is drawn below the place where the program writes next, and the cursor returns to that place. So a
//! text that the program prints, whole line or not, stays where it is, and the line is erased with all that is
//! below the cursor. A program that prints several lines between two drawings writes over the line, whose rest
//! may stay at the right of one of them.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::{Mutex, OnceLock, PoisonError},
};

use crate::nesting;

/// Makes a line below the cursor, and leaves the cursor where it is: down, which scrolls at the end of the
/// screen, and up again.
const ROOM: &str = "\x1bD\x1bM";
/// Saves the cursor, and goes to the beginning of the line below.
const BELOW: &str = "\x1b7\x1b[1B\r";
const RESTORE: &str = "\x1b8";
/// Erases everything behind the cursor.
const ERASE: &str = "\x1b[J";
/// The width of a terminal that does not tell it.
const USUAL: u16 = 80;

/// Whether the line is on the screen.
static IS_DRAWN: Mutex<bool> = Mutex::new(false);

/// Whether there is a terminal to draw on; never so in a worker.
pub(crate) fn is_watched() -> bool {
    static WATCHED: OnceLock<bool> = OnceLock::new();
    *WATCHED.get_or_init(|| {
        let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        stderr().is_terminal() && !is_dumb && !nesting::is_nested()
    })
}

/// Draws the line that `text` makes for this many columns, in the place of the former one.
pub(crate) fn draw(text: impl FnOnce(usize) -> String) {
    let mut is_drawn = IS_DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    // The last column stays free: some terminals go to the next line when it is written.
    let width = usize::from(columns()).saturating_sub(1);
    let mut line = String::new();
    if *is_drawn {
        line.push_str(ERASE);
    }
    line.push_str(ROOM);
    line.push_str(BELOW);
    line.push_str(&text(width));
    line.push_str(RESTORE);
    *is_drawn = true;
    write(&line);
}

/// Erases the line, if there is one, before it returns.
pub(crate) fn erase() {
    let mut is_drawn = IS_DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::take(&mut *is_drawn) {
        write(ERASE);
    }
}

/// Prints whole lines in the place of the line, which is drawn again below them.
pub(crate) fn print_above(lines: &str) {
    let mut is_drawn = IS_DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.is_empty() {
        return;
    }
    let erase = if std::mem::take(&mut *is_drawn) { ERASE } else { "" };
    write(&format!("{erase}{lines}"));
}

fn write(text: &str) {
    // A terminal that has gone away needs no line.
    let _ = stderr().lock().write_all(text.as_bytes());
}

fn columns() -> u16 {
    let told = rustix::termios::tcgetwinsize(stderr()).map(|size| size.ws_col);
    told.ok().filter(|columns| *columns > 0).unwrap_or(USUAL)
}
