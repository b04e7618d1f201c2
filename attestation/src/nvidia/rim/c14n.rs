//! Canonical XML 1.1 without comments, of a whole document or of one element in its place
//! (<https://www.w3.org/TR/xml-c14n11/>).
//!
//! Section numbers are those of the recommendation. The tree keeps no prefixes, so they are taken from the
//! source text that it points into.

use roxmltree::{Attribute, Document, NS_XML_URI, Node, NodeId};

use super::RimError;

/// Canonical bytes of the document node without comments and without the subtree of `omitted` (2.3).
///
/// Instructions beside the root belong to the document, white space there does not.
pub(super) fn document(document: &Document<'_>, omitted: Option<NodeId>) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.input_text().len());
    let mut writer = Writer { source: document.input_text(), omitted, out: &mut out };
    let root = document.root_element();
    for node in document.root().children() {
        if node == root {
            writer.element(root, None, Vec::new());
        } else if let Some(instruction) = node.pi() {
            let before_root = node < root;
            if !before_root {
                writer.raw("\n");
            }
            writer.instruction(instruction);
            if before_root {
                writer.raw("\n");
            }
        }
    }
    out
}

/// Canonical bytes of `apex` and everything in it, as a subset of its document (2.4): it carries all
/// namespaces in scope, and `xml:lang` and `xml:space` of its ancestors.
///
/// Refused: an `xml:base` above the apex, whose joining rule nothing here needs.
pub(super) fn subtree(apex: Node<'_, '_>) -> Result<Vec<u8>, RimError> {
    let mut inherited: Vec<Attribute<'_, '_>> = Vec::new();
    for ancestor in apex.ancestors().skip(1) {
        for attribute in ancestor.attributes().filter(|found| found.namespace() == Some(NS_XML_URI)) {
            let known = |other: &Attribute<'_, '_>| {
                other.namespace() == Some(NS_XML_URI) && other.name() == attribute.name()
            };
            match attribute.name() {
                "base" => return Err(RimError::SignatureForm { expected: "no xml:base above it", got: 1 }),
                "lang" | "space"
                    if !apex.attributes().any(|own| known(&own)) && !inherited.iter().any(known) =>
                {
                    inherited.push(attribute);
                }
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    Writer { source: apex.document().input_text(), omitted: None, out: &mut out }
        .element(apex, None, inherited);
    Ok(out)
}

struct Writer<'a, 'i> {
    source: &'i str,
    omitted: Option<NodeId>,
    out: &'a mut Vec<u8>,
}

impl<'a, 'i: 'a> Writer<'_, 'i> {
    /// Recurses at most as deep as the text was found to be.
    fn element(
        &mut self,
        element: Node<'a, 'i>,
        above: Option<Node<'a, 'i>>,
        inherited: Vec<Attribute<'a, 'i>>,
    ) {
        if Some(element.id()) == self.omitted {
            return;
        }
        let name = element.tag_name().name();
        let prefix = self.prefix(element.range().start + 1);
        self.raw("<");
        self.name(prefix, name);
        self.namespaces(element, above);
        self.attributes(element, inherited);
        self.raw(">");
        for child in element.children() {
            if child.is_element() {
                self.element(child, Some(element), Vec::new());
            } else if let Some(instruction) = child.pi() {
                self.instruction(instruction);
            } else if let Some(text) = child.text().filter(|_| child.is_text()) {
                self.text(text);
            }
        }
        self.raw("</");
        self.name(prefix, name);
        self.raw(">");
    }

    /// Namespaces in scope that the written element above does not already show, the default one first,
    /// then by prefix; `xml` is never shown.
    fn namespaces(&mut self, element: Node<'a, 'i>, above: Option<Node<'a, 'i>>) {
        let shown = |prefix: Option<&str>| {
            above.and_then(|above| {
                above.namespaces().find(|known| known.name() == prefix).map(|known| known.uri())
            })
        };
        let mut fresh: Vec<(Option<&str>, &str)> = element
            .namespaces()
            .map(|namespace| (namespace.name(), namespace.uri()))
            .filter(|&(prefix, uri)| match prefix {
                None => shown(None).unwrap_or_default() != uri,
                Some(_) => shown(prefix) != Some(uri),
            })
            .collect();
        fresh.sort_unstable();
        for (prefix, uri) in fresh {
            self.raw(" xmlns");
            if let Some(prefix) = prefix {
                self.raw(":");
                self.raw(prefix);
            }
            self.raw("=\"");
            self.value(uri);
            self.raw("\"");
        }
    }

    /// Attributes by namespace name, then by local name; those without namespace first.
    fn attributes(&mut self, element: Node<'a, 'i>, inherited: Vec<Attribute<'a, 'i>>) {
        let mut all = inherited;
        all.extend(element.attributes());
        all.sort_by_key(|attribute| (attribute.namespace().unwrap_or_default(), attribute.name()));
        for attribute in all {
            self.raw(" ");
            let prefix = attribute.namespace().and_then(|_| self.prefix(attribute.range().start));
            self.name(prefix, attribute.name());
            self.raw("=\"");
            self.value(attribute.value());
            self.raw("\"");
        }
    }

    /// Prefix of the qualified name that stands at `at` in the source.
    fn prefix(&self, at: usize) -> Option<&'i str> {
        let name = self.source.get(at..)?;
        let end = name.find([':', '=', '/', '>', ' ', '\t', '\n'])?;
        let (prefix, rest) = name.split_at(end);
        rest.starts_with(':').then_some(prefix)
    }

    fn name(&mut self, prefix: Option<&str>, name: &str) {
        if let Some(prefix) = prefix {
            self.raw(prefix);
            self.raw(":");
        }
        self.raw(name);
    }

    fn instruction(&mut self, instruction: roxmltree::PI<'_>) {
        self.raw("<?");
        self.raw(instruction.target);
        if let Some(value) = instruction.value {
            self.raw(" ");
            self.raw(value);
        }
        self.raw("?>");
    }

    fn text(&mut self, text: &str) {
        self.escaped(text, |byte| match byte {
            b'&' => Some("&amp;"),
            b'<' => Some("&lt;"),
            b'>' => Some("&gt;"),
            b'\r' => Some("&#xD;"),
            _ => None,
        });
    }

    fn value(&mut self, value: &str) {
        self.escaped(value, |byte| match byte {
            b'&' => Some("&amp;"),
            b'<' => Some("&lt;"),
            b'"' => Some("&quot;"),
            b'\t' => Some("&#x9;"),
            b'\n' => Some("&#xA;"),
            b'\r' => Some("&#xD;"),
            _ => None,
        });
    }

    fn escaped(&mut self, text: &str, escape: fn(u8) -> Option<&'static str>) {
        for byte in text.bytes() {
            match escape(byte) {
                Some(reference) => self.raw(reference),
                None => self.out.push(byte),
            }
        }
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::nvidia::rim::text::Text;
    use crate::nvidia::rim::tree;

    /// Canonical forms that libxml2 made (`tests/vectors/nvidia/c14n/golden.py`).
    const GOLDEN: &str = include_str!("../../../tests/vectors/nvidia/c14n/golden.json");
    const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

    fn canonical(form: &str, xml: &str) -> Result<String, RimError> {
        let text = Text::read(xml.as_bytes())?;
        let tree = tree::parse(&text)?;
        let named = |name| tree.descendants().find(|node| node.has_tag_name((XMLDSIG, name)));
        let bytes = match form {
            "document" => document(&tree, None),
            "enveloped" => document(&tree, named("Signature").map(|node| node.id())),
            "signed_info" => subtree(named("SignedInfo").unwrap())?,
            other => panic!("{other}"),
        };
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn equals_libxml2_on_every_case() {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        let (mut compared, mut refused) = (0, 0);
        for case in golden["cases"].as_array().unwrap() {
            let (name, xml) = (&case["name"], case["xml"].as_str().unwrap());
            if case["refused"] == true {
                assert!(canonical("document", xml).is_err(), "{name}: accepted");
                refused += 1;
                continue;
            }
            for form in ["document", "enveloped", "signed_info"] {
                if let Some(expected) = case[form].as_str() {
                    assert_eq!(canonical(form, xml).as_deref(), Ok(expected), "{name}: {form}");
                    compared += 1;
                }
            }
        }
        assert_eq!((compared, refused), (69, 25));
    }

    #[test]
    fn namespace_names_are_escaped() {
        // libxml2 keeps the reference as it was written, so this one is by hand (2.3, namespace nodes).
        let xml = "<a xmlns='http://x/?a&amp;b=&#34;'/>";
        assert_eq!(canonical("document", xml).as_deref(), Ok(r#"<a xmlns="http://x/?a&amp;b=&quot;"></a>"#));
    }

    #[test]
    fn an_xml_base_above_the_apex_is_refused() {
        let xml = format!("<s xml:base='http://x/'><i xmlns='{XMLDSIG}'><SignedInfo/></i></s>");
        assert!(matches!(canonical("signed_info", &xml), Err(RimError::SignatureForm { .. })));
    }
}
