//! RIM-01: no input takes more than its share of time, memory or stack.

use std::time::{Duration, Instant};

use tiltyard_attestation::collateral::RIM_MAX_BYTES;
use tiltyard_attestation::nvidia::rim::{
    ATTRIBUTES_MAX, DEPTH_MAX, ELEMENTS_MAX, ENTRIES_MAX, MARKUP_MAX, NAMESPACES_MAX, RimError,
};

use crate::fixture::{Draft, open, open_bytes, resource, value};

/// What the specification grants one input.
const SECOND: Duration = Duration::from_secs(1);

fn too_large(xml: &str) -> (&'static str, usize, usize) {
    match open(xml) {
        Err(RimError::TooLarge { what, limit, got }) => (what, limit, got),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rim_01_the_limits_are_exact() {
    let nested =
        |levels: usize| Draft::payload(["<x>".repeat(levels), "</x>".repeat(levels)].concat()).sign();
    // Root and payload are two levels.
    assert!(open(&nested(DEPTH_MAX - 2)).is_ok());
    assert_eq!(too_large(&nested(DEPTH_MAX - 1)), ("levels", DEPTH_MAX, DEPTH_MAX + 1));

    let with_attributes = |count: usize| {
        let attributes: String = (0..count).map(|n| format!(r#" a{n:03}="""#)).collect();
        Draft::payload(format!("<x{attributes}></x>")).sign()
    };
    assert!(open(&with_attributes(ATTRIBUTES_MAX)).is_ok());
    assert_eq!(
        too_large(&with_attributes(ATTRIBUTES_MAX + 1)),
        ("attributes of one element", ATTRIBUTES_MAX, ATTRIBUTES_MAX + 1)
    );

    // Three declarations stand on the root, one on the signature.
    let with_namespaces = |count: usize| {
        let declared: String = (0..count).map(|n| format!(r#" xmlns:p{n:02}="urn:p""#)).collect();
        Draft::payload(format!("<x{declared}></x>")).sign()
    };
    assert!(open(&with_namespaces(NAMESPACES_MAX - 4)).is_ok());
    assert_eq!(
        too_large(&with_namespaces(NAMESPACES_MAX - 3)),
        ("namespace declarations", NAMESPACES_MAX, NAMESPACES_MAX + 1)
    );

    let elements = Draft::payload("").sign().matches(['<']).count();
    let closed = Draft::payload("").sign().matches("</").count();
    let with_elements = |count: usize| Draft::payload("<x></x>".repeat(count)).sign();
    let room = ELEMENTS_MAX - (elements - closed);
    assert!(open(&with_elements(room)).is_ok());
    assert_eq!(too_large(&with_elements(room + 1)), ("elements", ELEMENTS_MAX, ELEMENTS_MAX + 1));

    // Comments are no part of what is signed.
    let with_comments = |count: usize| ["<!--c-->".repeat(count), Draft::default().sign()].concat();
    assert!(open(&with_comments(MARKUP_MAX)).is_ok());
    assert_eq!(
        too_large(&with_comments(MARKUP_MAX + 1)),
        ("comments, instructions and CDATA sections", MARKUP_MAX, MARKUP_MAX + 1)
    );

    let padded = |len: usize| {
        let xml = Draft::default().sign();
        [xml.as_str(), &" ".repeat(len - xml.len())].concat()
    };
    assert!(open(&padded(RIM_MAX_BYTES)).is_ok());
    assert_eq!(too_large(&padded(RIM_MAX_BYTES + 1)), ("bytes", RIM_MAX_BYTES, RIM_MAX_BYTES + 1));
}

#[test]
fn rim_01_no_more_than_512_measurements() {
    let inactive = |count: usize| {
        let entries: String = (0..count).map(|n| resource((n % 200) as u8, "False", &[value(0)])).collect();
        Draft::payload(entries).sign()
    };
    assert!(matches!(open(&inactive(ENTRIES_MAX)), Err(RimError::DuplicateIndex { index: 0 })));
    assert_eq!(too_large(&inactive(ENTRIES_MAX + 1)), ("measurements", ENTRIES_MAX, ENTRIES_MAX + 1));
}

#[test]
fn rim_01_a_text_of_megabytes_is_refused_or_read_within_a_second() {
    let fill = |unit: &str| unit.repeat(RIM_MAX_BYTES / unit.len());
    let fill_in = |before: &str, unit: &str, after: &str| {
        let room = RIM_MAX_BYTES - before.len() - after.len();
        [before, &unit.repeat(room / unit.len()), after].concat()
    };
    let attributes: String = (0..ATTRIBUTES_MAX).map(|n| format!(r#" a{n}="""#)).collect();
    let namespaces: String = (0..NAMESPACES_MAX).map(|n| format!(r#" xmlns:p{n}="urn:{n}""#)).collect();
    let prefixed: String = (0..ATTRIBUTES_MAX - NAMESPACES_MAX).map(|n| format!(r#" p63:a{n}="""#)).collect();
    let element = format!("<x{attributes}/>").repeat(700);
    let section = format!("<![CDATA[{}]]>", "x".repeat(4000)).repeat(MARKUP_MAX);
    let inputs = [
        fill("<"),
        fill("<a>"),
        fill("<a/>"),
        fill("</a>"),
        fill("<!--"),
        fill("<!---->"),
        fill("<![CDATA["),
        fill("<![CDATA[]]>"),
        fill("<?"),
        fill("="),
        fill("&"),
        fill("\r"),
        fill("\u{e9}"),
        fill_in("<a ", "a='' ", "/>"),
        fill_in("<a ", "xmlns:a='' ", "/>"),
        fill_in("<a b='", "&#60;", "'/>"),
        fill_in("<a b='", "\t", "'/>"),
        fill_in("<a>", "&gt;", "</a>"),
        fill_in("<a>", ">", "</a>"),
        fill_in("<a>", "]]", "</a>"),
        fill_in("<a>", "<![CDATA[x]]>", "</a>"),
        fill_in("<a><!--", "- ", "--></a>"),
        fill_in("<", "a", "/>"),
        fill_in("<a:", "b", "/>"),
        fill_in("<a ", "b", "=''/>"),
        fill_in("<?xml version='1.0' ", " ", "?><a/>"),
        format!("<r>{element}</r>"),
        format!("<r>{section}</r>"),
        format!("<r{namespaces}>{}</r>", format!("<x{prefixed}/>").repeat(1000)),
        format!("<r{namespaces}>{}{}</r>", "<x>".repeat(30), "</x>".repeat(30)),
    ];
    for input in inputs {
        let start = Instant::now();
        assert!(open_bytes(input.as_bytes()).is_err());
        let taken = start.elapsed();
        assert!(taken < SECOND, "{}...: {taken:?}", input.chars().take(40).collect::<String>());
    }
}

#[test]
fn rim_01_signed_texts_at_the_limits_are_read_within_a_second() {
    // Signed, so that every step runs: the digest covers a megabyte of escapes.
    let text = "&gt;".repeat(240_000);
    let attributes: String =
        (0..ATTRIBUTES_MAX).map(|n| format!(r#" a{n:03}="{}""#, "&amp;".repeat(10))).collect();
    for payload in [format!("<x>{text}</x>"), format!("<x{attributes}></x>").repeat(100)] {
        let draft = Draft::payload(payload);
        // Text beside elements is refused in the payload itself, not within an element that nobody reads.
        let xml = draft.sign();
        let start = Instant::now();
        assert!(open(&xml).is_ok());
        assert!(start.elapsed() < SECOND);
    }
}
