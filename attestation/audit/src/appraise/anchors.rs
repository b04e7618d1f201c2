//! Roots other than the vendors', from a folder.

use std::fs;
use std::path::Path;

use tiltyard_attestation::policy::Product;
use tiltyard_attestation::printable::plain;
use tiltyard_attestation::{Base64Bytes, ForeignAnchors, ForeignArk, TrustAnchors};

use super::error::InputError;
use super::read::Inputs;

const GIVEN_AS: &str = "--trust-anchors";
const EXPECTED: &str = "expected anchors.json, or roots as ark_milan, ark_genoa, ark_turin, intel, nvidia_device and \
                        nvidia_rim (.der or .pem)";

/// Reads `anchors.json`, or the roots by their names.
pub(super) fn read(folder: &Path, inputs: &mut Inputs) -> Result<TrustAnchors, InputError> {
    let wrong = |what: String| InputError::Anchors { path: folder.to_owned(), what };
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(wrong(format!("expected a folder, found a file\n  {EXPECTED}"))),
        Err(error) => return Err(wrong(format!("expected a folder, found none: {error}\n  {EXPECTED}"))),
    }
    let whole = folder.join("anchors.json");
    let set = if whole.is_file() {
        ForeignAnchors::from_bytes(inputs.read(GIVEN_AS, &whole)?.text())
            .map_err(|error| wrong(format!("anchors.json: {}", plain(&error.to_string()))))?
    } else {
        by_name(folder, inputs)?
    };
    TrustAnchors::foreign(set).map_err(|error| wrong(format!("{error}\n  {EXPECTED}")))
}

fn by_name(folder: &Path, inputs: &mut Inputs) -> Result<ForeignAnchors, InputError> {
    let mut root = |stem: &str| -> Result<Option<Base64Bytes>, InputError> {
        for ending in ["der", "pem"] {
            let path = folder.join(format!("{stem}.{ending}"));
            if path.is_file() {
                let input = inputs.read(GIVEN_AS, &path)?;
                let mut roots = input.der()?.into_iter();
                return match (roots.next(), roots.next()) {
                    (Some(root), None) => Ok(Some(root.into())),
                    _ => Err(input.form("one certificate", "none or several").into()),
                };
            }
        }
        Ok(None)
    };
    let mut snp = Vec::new();
    for (product, stem) in
        [(Product::Milan, "ark_milan"), (Product::Genoa, "ark_genoa"), (Product::Turin, "ark_turin")]
    {
        snp.extend(root(stem)?.map(|ark_der| ForeignArk { product, ark_der }));
    }
    Ok(ForeignAnchors {
        snp,
        intel: root("intel")?,
        nvidia_device: root("nvidia_device")?,
        nvidia_rim: root("nvidia_rim")?,
    })
}
