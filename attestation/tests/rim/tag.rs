//! RIM-01: what a manifest may say, and how.

use tiltyard_attestation::nvidia::rim::RimError;

use crate::fixture::{Draft, SHA384_NS, SWID, meta, open, open_bytes, resource, value};

fn refused(payload: &str) -> RimError {
    open(&Draft::payload(payload).sign()).unwrap_err()
}

#[test]
fn a_minted_manifest_is_read() {
    let rim = open(&Draft::default().sign()).unwrap();
    assert_eq!(rim.manifest().golden()[0].values(), [value(7)]);
    assert_eq!((rim.manifest().version(), rim.manifest().product()), ("550.144.03", "GH100"));
}

#[test]
fn golden_values_ignore_case_and_inactive_ones_are_not_read() {
    let upper = resource(3, "true", &[value(0xab), value(0xcd)]).replace("abab", "ABaB");
    let inactive = r#"<ns0:Resource active="False" index="4" type="Measurement"></ns0:Resource>"#;
    let unknown = r#"<ns0:Resource other="x" type="Other"></ns0:Resource><x ns2:Hash0="00"></x>"#;
    let rim = open(&Draft::payload([&upper, inactive, unknown].concat()).sign()).unwrap();
    assert_eq!(rim.manifest().golden().len(), 1);
    assert_eq!(rim.manifest().golden()[0].values(), [value(0xab), value(0xcd)]);
    assert_eq!(rim.manifest().inactive(), 1);
}

#[test]
fn other_spellings_of_one_document_are_one_document() {
    let xml = Draft::default().sign();
    for same in [
        xml.replace('\n', "\r\n"),
        xml.replace('\n', "\r"),
        xml.replace("></ns0:Meta>", "/>"),
        xml.replace("<ns0:Payload>", "<ns0:Payload\t><!-- c --><!---->"),
        xml.replace("product=\"GH100\"", "product = 'G&#72;100'"),
        format!("\u{feff}<?xml version=\"1.0\" encoding='utf-8'?>\n<!-- c -->{xml}\n\n"),
        xml.replace(
            "<ns0:Meta colloquialVersion=\"550.144.03\" edition=\"GPU\"",
            "<ns0:Meta edition=\"GPU\" colloquialVersion=\"550.144.03\"",
        ),
    ] {
        assert_ne!(same, xml);
        assert_eq!(open(&same), open(&xml), "{same}");
    }
}

#[test]
fn rim_01_no_document_type_and_no_entity() {
    let xml = Draft::default().sign();
    for hostile in [
        format!("<!DOCTYPE SoftwareIdentity>{xml}"),
        format!("<!DOCTYPE x [<!ENTITY e 'x'>]>{xml}"),
        format!("<!DOCTYPE x SYSTEM 'file:///etc/passwd'>{xml}"),
        xml.replace("<ns0:Payload>", "<ns0:Payload><!ENTITY e 'x'>"),
        format!("<!doctype html>{xml}"),
    ] {
        assert_eq!(open(&hostile), Err(RimError::DocumentType), "{hostile}");
    }
    let entity = xml.replace("product=\"GH100\"", "product=\"&chip;\"");
    assert!(matches!(open(&entity), Err(RimError::Syntax { line: 2 })));
}

#[test]
fn rim_01_no_other_encoding_and_no_broken_text() {
    let xml = Draft::default().sign();
    let utf16: Vec<u8> =
        "\u{feff}".chars().chain(xml.chars()).flat_map(|unit| (unit as u16).to_le_bytes()).collect();
    assert_eq!(open_bytes(&utf16), Err(RimError::Encoding { at: 0 }));
    let mut latin = xml.clone().into_bytes();
    latin[30] = 0xe9;
    assert_eq!(open_bytes(&latin), Err(RimError::Encoding { at: 30 }));
    for hostile in [
        format!("<?xml version='1.0' encoding='ISO-8859-1'?>{xml}"),
        format!("<?xml version='1.1'?>{xml}"),
        format!("<?xml encoding='UTF-8'?>{xml}"),
        format!("<?xml version='1.0' x='<a>'?>{xml}"),
        format!("<?xml version='1.0' encoding='?><a>'?>{xml}"),
        format!("<?xml version='1.0'encoding='UTF-8'?>{xml}"),
        format!("\n<?xml version='1.0'?>{xml}"),
        String::new(),
        "<".to_owned(),
        "x".to_owned(),
    ] {
        assert!(matches!(open(&hostile), Err(RimError::Syntax { .. })), "{hostile}");
    }
    // Nothing that the bounding pass takes for a comment or an attribute is a tag to the parser.
    for hostile in ["<a b='<c>'/>", "<a <!-- >", "<!--><a>", "<a b=c'>'>", "<a></a", "<a/></a>"] {
        assert!(matches!(open(hostile), Err(RimError::Syntax { .. })), "{hostile}");
    }
}

#[test]
fn rim_01_namespaces_are_declared_once_and_absolute() {
    let xml = Draft::default().sign();
    for (from, to) in [
        (format!("xmlns=\"{SWID}\""), format!("xmlns=\"{SWID}\" xmlns=\"{SWID}\"")),
        (format!("xmlns=\"{SWID}\""), format!("xmlns=\"urn:other\" xmlns=\"{SWID}\"")),
        ("<ns0:Payload>".to_owned(), "<ns0:Payload xmlns:p=\"\">".to_owned()),
        ("<ns0:Payload>".to_owned(), "<ns0:Payload xmlns:p=\"relative\">".to_owned()),
        ("<ns0:Payload>".to_owned(), "<ns0:Payload xmlns=\"1:x\">".to_owned()),
    ] {
        assert_eq!(open(&xml.replacen(&from, &to, 1)), Err(RimError::Namespace), "{to}");
    }
}

#[test]
fn rim_01_one_tag_with_one_meta_and_one_payload() {
    let draft = Draft::default();
    let with = |root: String, meta: String| open(&Draft { root, meta, ..draft.clone() }.sign());
    let form = |expected, got| Err(RimError::Form { expected, got });
    let other = draft.root.replace(SWID, "urn:other");
    assert_eq!(with(other, draft.meta.clone()), form("a SoftwareIdentity as root", 0));
    assert_eq!(with(draft.root.clone(), String::new()), form("one Meta", 0));
    assert_eq!(with(draft.root.clone(), draft.meta.repeat(2)), form("one Meta", 2));
    let two = [&draft.meta, "<ns0:Payload></ns0:Payload>"].concat();
    assert_eq!(with(draft.root.clone(), two), form("one Payload", 2));
    let named = "tag id, version and product of 1 to 128 visible characters";
    for (meta, got) in [
        (meta("", "550"), 0),
        (meta("GH100", ""), 0),
        (meta(&"x".repeat(129), "550"), 129),
        (meta("GH\u{e9}", "550"), 4),
        (meta("GH100", "5&#xA;0").replace("&#xA;", "&#x9;"), 3),
        (meta("GH100", "550").replace("colloquialVersion", "version"), 0),
    ] {
        assert_eq!(with(draft.root.clone(), meta.clone()), form(named, got), "{meta}");
    }
    assert_eq!(with(draft.root.replace("tagId", "other"), draft.meta.clone()), form(named, 0));
    let text = ["x", &draft.meta].concat();
    assert_eq!(with(draft.root.clone(), text), form("elements without text between them", 1));
}

#[test]
fn rim_01_duplicate_indexes_are_refused() {
    let one = resource(7, "True", &[value(1)]);
    for other in [resource(7, "True", &[value(1)]), resource(7, "False", &[value(2)])] {
        assert_eq!(refused(&[&one, &other[..]].concat()), RimError::DuplicateIndex { index: 7 });
        assert_eq!(refused(&[&other, &one[..]].concat()), RimError::DuplicateIndex { index: 7 });
    }
}

#[test]
fn rim_01_measurements_have_one_form() {
    let good = resource(7, "True", &[value(1), value(2)]);
    let first = value(1).map(|_| "01").concat();
    let index = RimError::Form { expected: "an index of 0 to 254 in each measurement", got: 0 };
    for bad in ["255", "256", "1000", "07", "+7", "-1", " 7", "", "0x7"] {
        assert_eq!(refused(&good.replace("index=\"7\"", &format!("index=\"{bad}\""))), index, "{bad}");
    }
    assert_eq!(refused(&good.replace(" index=\"7\"", "")), index);
    assert!(open(&Draft::payload(good.replace("index=\"7\"", "index=\"254\"")).sign()).is_ok());

    let measurement = |expected| RimError::Measurement { index: 7, expected };
    for bad in ["TRUE", "1", "yes", "", "maybe"] {
        let found = refused(&good.replace("\"True\"", &format!("\"{bad}\"")));
        assert_eq!(found, measurement("active True or False"), "{bad}");
    }
    for bad in ["32", "96", "048", ""] {
        let found = refused(&good.replace("size=\"48\"", &format!("size=\"{bad}\"")));
        assert_eq!(found, measurement("a size of 48"), "{bad}");
    }
    let counted = measurement("one hash for each of one or more alternatives");
    for bad in ["0", "1", "3", "02", "", "-2"] {
        let found = refused(&good.replace("alternatives=\"2\"", &format!("alternatives=\"{bad}\"")));
        assert_eq!(found, counted, "{bad}");
    }
    let hashes = measurement("Hash0 to HashN-1, each 96 hex digits");
    for (from, to) in [
        ("ns2:Hash1", "ns2:Hash2"),
        ("ns2:Hash0", "ns2:Hash00"),
        (first.as_str(), &first[2..]),
        (first.as_str(), &format!("{first}01")),
        (first.as_str(), &first.replacen('0', "g", 1)),
        (first.as_str(), ""),
    ] {
        assert_eq!(refused(&good.replacen(from, to, 1)), hashes, "{to}");
    }
    // The same name outside the namespace is another attribute.
    assert_eq!(refused(&good.replace("ns2:Hash1=", "Hash1=")), counted);
    assert_eq!(refused(&good.replace(SHA384_NS, "x").replace("ns2:Hash1", "ns0:Hash1")), counted);
}

#[test]
fn rim_01_no_measurement_hides_elsewhere() {
    let inner = resource(8, "True", &[value(8)]);
    let expected = "measurements in the payload only";
    assert_eq!(refused(&format!("<x>{inner}</x>")), RimError::Form { expected, got: 1 });
    let draft = Draft::default();
    let meta = draft.meta.replace("></ns0:Meta>", &format!(">{inner}</ns0:Meta>"));
    assert_eq!(open(&Draft { meta, ..draft }.sign()), Err(RimError::Form { expected, got: 2 }));
}
