//! A tree of elements that writes itself twice: as NVIDIA's files have it, and as Canonical XML 1.1 has it.

/// One element; names carry their prefix.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    name: String,
    /// Prefix (empty for the default namespace) and URI, in source order.
    namespaces: Vec<(&'static str, &'static str)>,
    /// Name and value, in source order.
    attributes: Vec<(String, String)>,
    content: Vec<Node>,
}

#[derive(Debug, Clone)]
enum Node {
    Element(Element),
    Text(String),
}

/// URIs of the prefixes that attributes use here; canonical order is by URI, then by local name.
type Prefixes<'p> = &'p [(&'static str, &'static str)];

impl Element {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), namespaces: Vec::new(), attributes: Vec::new(), content: Vec::new() }
    }

    pub(crate) fn namespace(mut self, prefix: &'static str, uri: &'static str) -> Self {
        self.namespaces.push((prefix, uri));
        self
    }

    pub(crate) fn attribute(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn child(mut self, child: Element) -> Self {
        self.content.push(Node::Element(child));
        self
    }

    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.content.push(Node::Text(text.into()));
        self
    }

    /// In source order, empty elements in their short form.
    pub(crate) fn source(&self) -> String {
        let mut out = String::new();
        self.write_source(&mut out);
        out
    }

    /// Canonical XML 1.1 of this element as the apex of a subset: it carries the namespaces that are in scope from
    /// above as well as its own.
    pub(crate) fn canonical(&self, above: &[(&'static str, &'static str)], prefixes: Prefixes<'_>) -> String {
        let mut out = String::new();
        self.write_canonical(&mut out, above, prefixes);
        out
    }

    fn write_source(&self, out: &mut String) {
        out.push('<');
        out.push_str(&self.name);
        for (prefix, uri) in &self.namespaces {
            push_declaration(out, prefix, uri);
        }
        for (name, value) in &self.attributes {
            push_attribute(out, name, value);
        }
        if self.content.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for node in &self.content {
            match node {
                Node::Element(child) => child.write_source(out),
                Node::Text(text) => push_text(out, text),
            }
        }
        self.push_end(out);
    }

    fn write_canonical(
        &self,
        out: &mut String,
        above: &[(&'static str, &'static str)],
        prefixes: Prefixes<'_>,
    ) {
        out.push('<');
        out.push_str(&self.name);
        let mut namespaces: Vec<_> = above.iter().chain(&self.namespaces).collect();
        namespaces.sort();
        namespaces.dedup();
        for (prefix, uri) in namespaces {
            push_declaration(out, prefix, uri);
        }
        let mut attributes: Vec<_> = self.attributes.iter().collect();
        attributes.sort_by(|a, b| expanded(&a.0, prefixes).cmp(&expanded(&b.0, prefixes)));
        for (name, value) in attributes {
            push_attribute(out, name, value);
        }
        out.push('>');
        for node in &self.content {
            match node {
                // Nothing below declares again what stands above, so only its own declarations are written.
                Node::Element(child) => child.write_canonical(out, &[], prefixes),
                Node::Text(text) => push_text(out, text),
            }
        }
        self.push_end(out);
    }

    fn push_end(&self, out: &mut String) {
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

/// Namespace URI (none for a name without prefix) and local name.
fn expanded<'n>(name: &'n str, prefixes: Prefixes<'_>) -> (&'static str, &'n str) {
    match name.split_once(':') {
        None => ("", name),
        Some((prefix, local)) => {
            let uri = prefixes.iter().find(|(known, _)| *known == prefix).map_or("", |(_, uri)| *uri);
            (uri, local)
        }
    }
}

fn push_declaration(out: &mut String, prefix: &str, uri: &str) {
    let name = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
    push_attribute(out, &name, uri);
}

/// Escapes of Canonical XML 1.1, 2.3: also valid in any source.
fn push_attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            other => out.push(other),
        }
    }
    out.push('"');
}

fn push_text(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_sorts_declarations_and_attributes_and_pairs_empty_elements() {
        let prefixes = [("b", "urn:1"), ("a", "urn:2")];
        let tree = Element::new("r")
            .namespace("b", "urn:1")
            .namespace("", "urn:0")
            .namespace("a", "urn:2")
            .attribute("a:x", "1")
            .attribute("z", "2")
            .attribute("b:y", "\"<&\t")
            .child(Element::new("b:e"))
            .text("<&>\r");
        assert_eq!(
            tree.source(),
            "<r xmlns:b=\"urn:1\" xmlns=\"urn:0\" xmlns:a=\"urn:2\" a:x=\"1\" z=\"2\" \
             b:y=\"&quot;&lt;&amp;&#x9;\"><b:e/>&lt;&amp;&gt;&#xD;</r>"
        );
        assert_eq!(
            tree.canonical(&[("c", "urn:3")], &prefixes),
            "<r xmlns=\"urn:0\" xmlns:a=\"urn:2\" xmlns:b=\"urn:1\" xmlns:c=\"urn:3\" z=\"2\" \
             b:y=\"&quot;&lt;&amp;&#x9;\" a:x=\"1\"><b:e></b:e>&lt;&amp;&gt;&#xD;</r>"
        );
    }
}
