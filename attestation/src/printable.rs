//! Text of unknown origin, made fit for a terminal: a file's name or a document's member may hold what a terminal obeys.

use std::ffi::OsString;

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

/// JSON text, with whatever a terminal obeys escaped: control characters of ASCII already are, and outside of strings
/// there is none but line breaks.
pub fn plain_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match u32::from(c) {
            code @ 0x7f.. if is_obeyed(c) => out.push_str(&format!("\\u{code:04x}")),
            _ => out.push(c),
        }
    }
    out
}

/// What a parser says of arguments, which it repeats and which may come from a folder's names: each line by itself.
pub fn plain_usage(error: &str) -> String {
    let lines: Vec<String> = error.trim_end().lines().map(plain).collect();
    lines.join("\n")
}

/// Arguments that can't be parsed asked for JSON: `--output json`, in one word or two.
pub fn asks_for_json(args: impl Iterator<Item = OsString>) -> bool {
    let args: Vec<OsString> = args.collect();
    args.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
        || args.iter().any(|arg| arg == "--output=json")
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
    fn the_form_is_known_before_the_arguments_are() {
        let asks = |line: &str| asks_for_json(line.split(' ').map(OsString::from));
        assert!(asks("p x --output json --no-such") && asks("p --output=json") && asks("p --output json"));
        assert!(!asks("p x --output text json") && !asks("p --outputjson json") && !asks("p json --output"));
        assert_eq!(plain_usage("error: 'a\rb'\n\nUsage\n"), "error: 'a\u{fffd}b'\n\nUsage");
    }

    #[test]
    fn json_stays_the_same_document() {
        let text = "[\n  \"a\u{9b}b\u{202e}c\u{7f}\\u001bé長\"\n]";
        let plain = plain_json(text);
        assert!(!plain.chars().any(|c| c != '\n' && is_obeyed(c)), "{plain}");
        let read = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap_or_default();
        assert_eq!(read(&plain), read(text));
        assert_eq!(read(text), ["a\u{9b}b\u{202e}c\u{7f}\u{1b}é長"]);
    }

    #[test]
    fn a_second_line_of_ours_stays_one() {
        assert_eq!(plain_lines("no file\n  name one"), "no file\n  name one");
        assert_eq!(plain_lines("a\nGOOD\n\n  b\u{1b}"), "a\u{fffd}GOOD\u{fffd}\n  b\u{fffd}");
    }
}
