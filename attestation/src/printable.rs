//! Text of unknown origin, made fit for a terminal: a file's name or a document's member may hold what a terminal obeys.

/// One line: whatever moves the cursor, colours, breaks the line or turns the direction of writing is U+FFFD.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if is_obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// Lines of ours: a break stays where two spaces follow, as in every second line of an error.
///
/// Text from outside goes through [`plain`] before it becomes part of such a message.
pub fn plain_lines(text: &str) -> String {
    let mut lines = text.split('\n');
    let mut out = plain(lines.next().unwrap_or_default());
    for line in lines {
        out.push(if line.starts_with("  ") { '\n' } else { '\u{fffd}' });
        out.push_str(&plain(line));
    }
    out
}

/// Control characters; marks, embeddings, overrides and isolates of direction (Unicode 9, 2.1 to 2.6); separators of
/// lines and paragraphs.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for c in [
            '\u{1b}', '\r', '\n', '\u{7}', '\u{9b}', '\u{7f}', '\u{202a}', '\u{202e}', '\u{2066}',
            '\u{2069}', '\u{200e}', '\u{200f}', '\u{2028}',
        ] {
            assert_eq!(plain(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
        }
        assert_eq!(plain("Größe, 長さ: 5 µs"), "Größe, 長さ: 5 µs");
    }

    #[test]
    fn a_second_line_of_ours_stays_one() {
        assert_eq!(plain_lines("no file\n  name one"), "no file\n  name one");
        assert_eq!(plain_lines("a\nGOOD\n\n  b\u{1b}"), "a\u{fffd}GOOD\u{fffd}\n  b\u{fffd}");
    }
}
