//! The text of a manifest, bounded before the XML parser sees it.
//!
//! The parser recurses once a level, compares every attribute of an element with every other, copies the
//! namespaces in scope at every declaration, and copies a text again for each CDATA section in it. What
//! makes these cheap is counted here, in one pass that cuts the text at the same places as the parser.

use super::RimError;
use crate::collateral::RIM_MAX_BYTES;

/// Most levels of elements, the root being the first.
pub const DEPTH_MAX: usize = 32;
/// Most elements.
pub const ELEMENTS_MAX: usize = 1024;
/// Most attributes of one element, namespace declarations included.
pub const ATTRIBUTES_MAX: usize = 128;
/// Most namespace declarations.
pub const NAMESPACES_MAX: usize = 64;
/// Most comments, processing instructions and CDATA sections together.
pub const MARKUP_MAX: usize = 256;

const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// A bounded text without document type, with line ends as an XML parser passes them on.
pub(super) struct Text(String);

impl Text {
    /// Bounds and normalises the received bytes (XML 1.0 2.8, 2.11).
    pub(super) fn read(bytes: &[u8]) -> Result<Self, RimError> {
        at_most("bytes", RIM_MAX_BYTES, bytes.len())?;
        let text = str::from_utf8(bytes).map_err(|error| RimError::Encoding { at: error.valid_up_to() })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let body = after_declaration(text)?;
        // The parser's own normalisation keeps a CR that a character reference follows or precedes.
        let body = if body.contains('\r') {
            body.replace("\r\n", "\n").replace('\r', "\n")
        } else {
            body.to_owned()
        };
        Survey { all: &body, rest: &body, ..Survey::default() }.run()?;
        Ok(Self(body))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Counts of one pass over the markup.
#[derive(Default)]
struct Survey<'t> {
    all: &'t str,
    rest: &'t str,
    depth: usize,
    elements: usize,
    namespaces: usize,
    markup: usize,
}

impl<'t> Survey<'t> {
    fn run(mut self) -> Result<Self, RimError> {
        while let Some((_, rest)) = self.rest.split_once('<') {
            self.rest = if let Some(comment) = rest.strip_prefix("!--") {
                self.other(comment, "-->")?
            } else if let Some(section) = rest.strip_prefix("![CDATA[") {
                self.other(section, "]]>")?
            } else if rest.starts_with('!') {
                return Err(RimError::DocumentType);
            } else if let Some(instruction) = rest.strip_prefix('?') {
                self.instruction(instruction)?
            } else if let Some(end_tag) = rest.strip_prefix('/') {
                self.depth = self.depth.checked_sub(1).ok_or_else(|| self.broken(rest))?;
                self.until(end_tag, ">")?
            } else {
                self.start_tag(rest)?
            };
        }
        Ok(self)
    }

    fn other(&mut self, rest: &'t str, end: &str) -> Result<&'t str, RimError> {
        self.markup += 1;
        at_most("comments, instructions and CDATA sections", MARKUP_MAX, self.markup)?;
        self.until(rest, end)
    }

    /// A second XML declaration is none, and no instruction may take its name (XML 1.0 2.6).
    fn instruction(&mut self, rest: &'t str) -> Result<&'t str, RimError> {
        let target = rest.split(SPACE).next().unwrap_or(rest).trim_end_matches("?>");
        if target.eq_ignore_ascii_case("xml") {
            return Err(self.broken(rest));
        }
        self.other(rest, "?>")
    }

    fn start_tag(&mut self, tag: &'t str) -> Result<&'t str, RimError> {
        self.elements += 1;
        at_most("elements", ELEMENTS_MAX, self.elements)?;
        at_most("levels", DEPTH_MAX, self.depth + 1)?;
        let mut attributes = 0;
        let mut rest = tag;
        loop {
            let stop = rest.find(['"', '\'', '<', '>']).ok_or_else(|| self.broken(tag))?;
            let (before, from) = rest.split_at(stop);
            let mut chars = from.chars();
            let quote = match chars.next() {
                Some('>') => {
                    if !before.ends_with('/') {
                        self.depth += 1;
                    }
                    return Ok(chars.as_str());
                }
                Some(quote @ ('"' | '\'')) => quote,
                _ => return Err(self.broken(from)),
            };
            attributes += 1;
            at_most("attributes of one element", ATTRIBUTES_MAX, attributes)?;
            // The element's name or an earlier value may come before the attribute's.
            let name = before.trim_end_matches(['=', ' ', '\t', '\n', '\r']).rsplit(SPACE).next();
            if name.is_some_and(|name| name.starts_with("xmlns")) {
                self.namespaces += 1;
                at_most("namespace declarations", NAMESPACES_MAX, self.namespaces)?;
            }
            let (value, after) = chars.as_str().split_once(quote).ok_or_else(|| self.broken(from))?;
            if value.contains('<') {
                return Err(self.broken(from));
            }
            rest = after;
        }
    }

    fn until(&self, rest: &'t str, end: &str) -> Result<&'t str, RimError> {
        rest.split_once(end).map(|(_, after)| after).ok_or_else(|| self.broken(rest))
    }

    fn broken(&self, at: &str) -> RimError {
        let before = self.all.len() - at.len();
        let lines = self.all.bytes().take(before).filter(|&byte| byte == b'\n').count();
        RimError::Syntax { line: u32::try_from(lines + 1).unwrap_or(u32::MAX) }
    }
}

/// What follows the XML declaration, if there is one: version 1.0, an encoding that is UTF-8.
fn after_declaration(text: &str) -> Result<&str, RimError> {
    const FIRST_LINE: RimError = RimError::Syntax { line: 1 };
    let Some(rest) = text.strip_prefix("<?xml").filter(|rest| rest.starts_with(SPACE)) else {
        return Ok(text);
    };
    let (inside, body) = rest.split_once("?>").ok_or(FIRST_LINE)?;
    let mut rest = inside.trim_matches(SPACE);
    for (name, values) in [
        ("version", &["1.0"][..]),
        ("encoding", &["UTF-8", "US-ASCII", "ASCII"]),
        ("standalone", &["yes", "no"]),
    ] {
        let Some(value) = rest.strip_prefix(name) else {
            if name == "version" {
                return Err(FIRST_LINE);
            }
            continue;
        };
        let value = value.trim_start_matches(SPACE).strip_prefix('=').ok_or(FIRST_LINE)?;
        let mut chars = value.trim_start_matches(SPACE).chars();
        let quote = chars.next().filter(|quote| matches!(quote, '"' | '\'')).ok_or(FIRST_LINE)?;
        let (value, after) = chars.as_str().split_once(quote).ok_or(FIRST_LINE)?;
        if !values.iter().any(|allowed| allowed.eq_ignore_ascii_case(value)) {
            return Err(FIRST_LINE);
        }
        if value.to_ascii_uppercase().ends_with("ASCII") && !body.is_ascii() {
            return Err(FIRST_LINE);
        }
        rest = after.trim_start_matches(SPACE);
        if !rest.is_empty() && rest.len() == after.len() {
            return Err(FIRST_LINE);
        }
    }
    if rest.is_empty() { Ok(body) } else { Err(FIRST_LINE) }
}

pub(super) fn at_most(what: &'static str, limit: usize, got: usize) -> Result<(), RimError> {
    if got > limit { Err(RimError::TooLarge { what, limit, got }) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests {
    use proptest::prelude::*;
    use roxmltree::Document;

    use super::*;

    /// Pieces that change how the next ones are read.
    const PIECES: [&str; 34] = [
        "<",
        ">",
        "/",
        "</",
        "/>",
        "<a",
        "</a>",
        "<a>",
        "<a/>",
        "<b ",
        "=",
        "c='",
        "d=\"",
        "'",
        "\"",
        " ",
        "xmlns:p='u:'",
        "<!--",
        "-->",
        "--",
        "<![CDATA[",
        "]]>",
        "]]",
        "<?p ",
        "?>",
        "?",
        "<?xml version='1.0' ",
        "&lt;",
        "&",
        "x",
        "\n",
        "\r",
        "!",
        "<!",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// Whatever the parser accepts, it cut at the same places as the counting pass.
        #[test]
        fn the_parser_sees_what_was_counted(pieces in prop::collection::vec(0..PIECES.len(), 0..24)) {
            let inside: String = pieces.iter().map(|&piece| PIECES[piece]).collect();
            for text in [inside.clone(), format!("<a>{inside}</a>"), format!("<a {inside}></a>"), format!("<!--{inside}")] {
                let Ok(Text(text)) = Text::read(text.as_bytes()) else { continue };
                let Ok(tree) = Document::parse(&text) else { continue };
                let survey = Survey { all: &text, rest: &text, ..Survey::default() }.run().unwrap();
                let elements = tree.descendants().filter(|node| node.is_element()).count();
                prop_assert_eq!(survey.elements, elements);
                prop_assert_eq!(survey.depth, 0);
            }
        }
    }
}
