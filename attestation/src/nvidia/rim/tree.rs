//! The one tree that is digested and read.

use roxmltree::{Document, Error, Node, ParsingOptions};

use super::RimError;
use super::text::{ELEMENTS_MAX, MARKUP_MAX, Text};

/// Elements, the texts between them, other markup, and the root.
const NODES_MAX: u32 = (3 * ELEMENTS_MAX + 2 * MARKUP_MAX) as u32;
const XMLNS: &str = "xmlns";

/// Parses a bounded text; without a document type there is no entity but XML's own five.
pub(super) fn parse(text: &Text) -> Result<Document<'_>, RimError> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX };
    let document = Document::parse_with_options(text.as_str(), options).map_err(|error| match error {
        Error::DtdDetected => RimError::DocumentType,
        other => RimError::Syntax { line: other.pos().row },
    })?;
    document.descendants().filter(Node::is_element).try_for_each(check_namespaces)?;
    Ok(document)
}

/// Child elements in order; anything else between them must be white space, comment or instruction.
pub(super) fn elements<'a, 'i>(
    parent: Node<'a, 'i>,
) -> Result<impl Iterator<Item = Node<'a, 'i>> + Clone, RimError> {
    let written =
        |node: &Node<'_, '_>| node.is_text() && node.text().is_some_and(|text| !text.bytes().all(is_space));
    match parent.children().filter(written).count() {
        0 => Ok(parent.children().filter(Node::is_element)),
        got => Err(RimError::Form { expected: "elements without text between them", got }),
    }
}

/// Whole text of an element without child elements: a comment may split it and still be dropped from the
/// digest, so the pieces are joined.
pub(super) fn text(element: Node<'_, '_>) -> Result<String, RimError> {
    match element.children().filter(Node::is_element).count() {
        0 => Ok(element.children().filter(Node::is_text).filter_map(|node| node.text()).collect()),
        got => Err(RimError::Form { expected: "text without elements in it", got }),
    }
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// What the parser lets pass: the default namespace declared twice, a prefix undeclared or reserved
/// (Namespaces 1.0 2, 3), a relative name, which has no canonical form (Canonical XML 1.1 1.3).
fn check_namespaces(element: Node<'_, '_>) -> Result<(), RimError> {
    let in_scope: Vec<_> = element.namespaces().collect();
    for (at, namespace) in in_scope.iter().enumerate() {
        let twice = in_scope.iter().take(at).any(|earlier| earlier.name() == namespace.name());
        let refused = match namespace.name() {
            Some(prefix) => prefix == XMLNS || !is_absolute(namespace.uri()),
            None => !namespace.uri().is_empty() && !is_absolute(namespace.uri()),
        };
        if twice || refused {
            return Err(RimError::Namespace);
        }
    }
    Ok(())
}

/// RFC 3986 3.1: a scheme and a colon come first.
fn is_absolute(uri: &str) -> bool {
    let Some((scheme, _)) = uri.split_once(':') else { return false };
    let mut chars = scheme.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic())
        && chars.all(|next| next.is_ascii_alphanumeric() || matches!(next, '+' | '-' | '.'))
}
