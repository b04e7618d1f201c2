//! What a manifest says: a SWID tag with one golden value a measurement (ISO 19770-2, TCG RIM 1.01, RIM-01).

use roxmltree::{Document, Node};

use super::text::at_most;
use super::{RimError, tree};

/// Most measurements in one manifest.
pub const ENTRIES_MAX: usize = 512;
/// Most characters in a version, a product or a tag id.
pub const NAME_MAX_LEN: usize = 128;
/// Bytes of a golden value.
pub const GOLDEN_LEN: usize = 48;

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const SHA384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
const TCG_RIM: &str =
    "https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/";
/// An SPDM block's index is one more, and a byte.
const INDEX_MAX: u8 = u8::MAX - 1;

/// What one manifest states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub(super) tag_id: String,
    pub(super) version: String,
    pub(super) product: String,
    pub(super) edition: Option<String>,
    pub(super) firmware_manufacturer: Option<String>,
    pub(super) golden: Vec<Golden>,
    pub(super) inactive: usize,
}

/// The values that one active measurement may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    index: u8,
    values: Vec<[u8; GOLDEN_LEN]>,
}

impl Manifest {
    /// Reads the tag from the tree that is digested.
    pub(super) fn read(document: &Document<'_>) -> Result<Self, RimError> {
        let root = document.root_element();
        if !root.has_tag_name((SWID, "SoftwareIdentity")) {
            return Err(RimError::Form { expected: "a SoftwareIdentity as root", got: 0 });
        }
        let meta = only(root, "Meta")?;
        let payload = only(root, "Payload")?;
        let (golden, inactive) = measurements(payload)?;
        Ok(Self {
            tag_id: required(root, "tagId")?,
            version: required(meta, "colloquialVersion")?,
            product: required(meta, "product")?,
            edition: meta.attribute("edition").map(named).transpose()?,
            firmware_manufacturer: meta
                .attribute((TCG_RIM, "FirmwareManufacturer"))
                .map(named)
                .transpose()?,
            golden,
            inactive,
        })
    }

    /// The tag's own id: a digest in NVIDIA's manifests, not the name that the RIM service files it under.
    pub fn tag_id(&self) -> &str {
        &self.tag_id
    }

    /// `colloquialVersion`: the driver's version, or that of the VBIOS or BIOS.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Chip that the manifest is for, as `GH100` or `LS10`.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// `GPU` or `SWITCH`.
    pub fn edition(&self) -> Option<&str> {
        self.edition.as_deref()
    }

    pub fn firmware_manufacturer(&self) -> Option<&str> {
        self.firmware_manufacturer.as_deref()
    }

    /// Active measurements by index.
    pub fn golden(&self) -> &[Golden] {
        &self.golden
    }

    /// How many measurements the manifest lists and does not ask for.
    pub fn inactive(&self) -> usize {
        self.inactive
    }
}

impl Golden {
    /// Index in the manifest: that of the SPDM block, less one.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Allowed values, at least one.
    pub fn values(&self) -> &[[u8; GOLDEN_LEN]] {
        &self.values
    }
}

/// Active measurements by index, and how many others are listed.
fn measurements(payload: Node<'_, '_>) -> Result<(Vec<Golden>, usize), RimError> {
    let resources = tree::elements(payload)?.filter(|node| is_measurement(node));
    at_most("measurements", ENTRIES_MAX, resources.clone().count())?;
    // None may hide where this reader does not look.
    let all = payload.document().descendants().filter(is_measurement).count();
    if all != resources.clone().count() {
        return Err(RimError::Form { expected: "measurements in the payload only", got: all });
    }
    let mut listed = [false; u8::MAX as usize];
    let mut golden = Vec::new();
    let mut inactive = 0;
    for resource in resources {
        let index = index(resource)?;
        match listed.get_mut(usize::from(index)) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(RimError::DuplicateIndex { index }),
        }
        match resource.attribute("active") {
            Some("True" | "true") => golden.push(Golden { index, values: values(resource, index)? }),
            Some("False" | "false") => inactive += 1,
            _ => return Err(RimError::Measurement { index, expected: "active True or False" }),
        }
    }
    golden.sort_by_key(Golden::index);
    Ok((golden, inactive))
}

fn is_measurement(node: &Node<'_, '_>) -> bool {
    node.has_tag_name((SWID, "Resource")) && node.attribute("type") == Some("Measurement")
}

/// `Hash0` to `HashN-1` and no other, N being `alternatives`.
fn values(resource: Node<'_, '_>, index: u8) -> Result<Vec<[u8; GOLDEN_LEN]>, RimError> {
    let malformed = |expected| RimError::Measurement { index, expected };
    if resource.attribute("size").and_then(decimal) != Some(GOLDEN_LEN) {
        return Err(malformed("a size of 48"));
    }
    let alternatives = resource.attribute("alternatives").and_then(decimal).unwrap_or(0);
    let hashes = resource
        .attributes()
        .filter(|attribute| attribute.namespace() == Some(SHA384) && attribute.name().starts_with("Hash"))
        .count();
    if alternatives == 0 || alternatives != hashes {
        return Err(malformed("one hash for each of one or more alternatives"));
    }
    (0..alternatives)
        .map(|n| {
            let name = format!("Hash{n}");
            let text = resource.attribute((SHA384, name.as_str()));
            text.and_then(bytes).ok_or_else(|| malformed("Hash0 to HashN-1, each 96 hex digits"))
        })
        .collect()
}

fn index(resource: Node<'_, '_>) -> Result<u8, RimError> {
    resource
        .attribute("index")
        .and_then(decimal)
        .and_then(|index| u8::try_from(index).ok())
        .filter(|&index| index <= INDEX_MAX)
        .ok_or(RimError::Form { expected: "an index of 0 to 254 in each measurement", got: 0 })
}

/// The only child of this name.
fn only<'a, 'i>(root: Node<'a, 'i>, name: &'static str) -> Result<Node<'a, 'i>, RimError> {
    let mut found = tree::elements(root)?.filter(|node| node.has_tag_name((SWID, name)));
    match (found.next(), found.count()) {
        (Some(node), 0) => Ok(node),
        (node, more) => Err(RimError::Form {
            expected: if name == "Meta" { "one Meta" } else { "one Payload" },
            got: more + usize::from(node.is_some()),
        }),
    }
}

fn required(element: Node<'_, '_>, name: &'static str) -> Result<String, RimError> {
    named(element.attribute(name).unwrap_or_default())
}

/// Visible ASCII and single spaces, so that it can be printed and compared.
fn named(text: &str) -> Result<String, RimError> {
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if text.is_empty() || text.len() > NAME_MAX_LEN || !printable {
        return Err(RimError::Form {
            expected: "tag id, version and product of 1 to 128 visible characters",
            got: text.len(),
        });
    }
    Ok(text.to_owned())
}

/// A decimal number in its only form, of at most three digits.
fn decimal(text: &str) -> Option<usize> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = matches!(text.len(), 1..=3) && text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits { text.parse().ok() } else { None }
}

fn bytes(text: &str) -> Option<[u8; GOLDEN_LEN]> {
    text.to_ascii_lowercase().parse::<crate::Hex<GOLDEN_LEN>>().ok().map(|hex| hex.0)
}
