//! Collateral files, each told by its content; and the signed bundle.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tiltyard_attestation::collateral::{Bundle, BundleError, ItemKind, Manifest};
use tiltyard_attestation::printable::plain_lines;
use tiltyard_attestation::tdx::PcsAnswers;
use tiltyard_attestation::{Base64Bytes, Collateral, Hex, TdxCollateral};

use super::error::InputError;
use super::form::{self, contains};
use super::read::{FileError, Input};

use crate::date::utc;

/// Collateral as it was given, in the verifier's order.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) collateral: Collateral,
    answers: Answers,
}

/// Answers of Intel's certification service, a file each.
#[derive(Default)]
struct Answers {
    tcb_info: Option<Vec<u8>>,
    qe_identity: Option<Vec<u8>>,
    /// The TCB signing certificate and the root.
    signing_chain: Option<Vec<u8>>,
    /// The PCK authority's certificate and the root.
    pck_chain: Option<Vec<u8>>,
    pck_crl: Option<Vec<u8>>,
    root_crl: Option<Vec<u8>>,
}

impl Sorted {
    /// One file of Intel's: a whole set, or one of the service's answers.
    pub(super) fn intel(&mut self, input: &Input) -> Result<(), InputError> {
        let has = |needle: &str| contains(&input.bytes, needle.as_bytes());
        if input.starts_with(b'{') && (has("\"tcb_info\"") || has("\"quote_collateral\"")) {
            let set = TdxCollateral::from_json(input.text())
                .map_err(|error| input.form("Intel's collateral", error))?;
            self.collateral.tdx.push(set);
            return Ok(());
        }
        let place = if input.starts_with(b'{') && has("\"tcbInfo\"") {
            &mut self.answers.tcb_info
        } else if input.starts_with(b'{') && has("\"enclaveIdentity\"") {
            &mut self.answers.qe_identity
        } else if has("-----BEGIN CERTIFICATE-----") || has("-----BEGIN%20CERTIFICATE-----") {
            // As the service's header has it.
            let plain = input.percent_decoded();
            let chain = plain.as_ref().unwrap_or(input).der()?;
            let place = match chain.first().is_some_and(|leaf| contains(leaf, b"TCB Signing")) {
                true => &mut self.answers.signing_chain,
                false => &mut self.answers.pck_chain,
            };
            // Text around the blocks is no part of the chain.
            return fill(place, form::to_pem(&chain), input);
        } else {
            return self.intel_list(input);
        };
        fill(place, input.text().to_vec(), input)
    }

    fn intel_list(&mut self, input: &Input) -> Result<(), InputError> {
        let lists = input.der()?;
        let [list] = lists.as_slice() else {
            return Err(input.form("one revocation list", lists.len()).into());
        };
        let place = match contains(list, b"Intel SGX Root CA") {
            true => &mut self.answers.root_crl,
            false => &mut self.answers.pck_crl,
        };
        fill(place, list.clone(), input)
    }

    /// A list of any vendor's, told by its issuer.
    pub(super) fn revocation_list(&mut self, input: &Input) -> Result<(), InputError> {
        let lists = input.der()?;
        // AMD's, Intel's and NVIDIA's have one form.
        if let Some(other) = lists.iter().find(|list| ItemKind::NvidiaCrl.check(list).is_err()) {
            return Err(input.form("a revocation list, DER or PEM", form::beginning(other)).into());
        }
        if lists.iter().any(|list| contains(list, b"Intel SGX")) {
            return self.intel_list(input);
        }
        for list in lists {
            let lists = match contains(&list, b"NVIDIA") {
                true => &mut self.collateral.nvidia_crls,
                false => &mut self.collateral.snp_crls,
            };
            lists.push(list.into());
        }
        Ok(())
    }

    /// All that was given, once Intel's answers are a set.
    pub(super) fn finish(mut self) -> Result<Collateral, InputError> {
        let Answers { tcb_info, qe_identity, signing_chain, pck_chain, pck_crl, root_crl } = self.answers;
        let parts = [
            (&tcb_info, "tcbInfo"),
            (&qe_identity, "enclaveIdentity"),
            (&signing_chain, "chain of the TCB signing certificate"),
            (&pck_chain, "chain of the PCK authority"),
            (&pck_crl, "PCK revocation list"),
            (&root_crl, "root revocation list"),
        ];
        let absent = |(part, _): &(&Option<Vec<u8>>, _)| part.is_none();
        if parts.iter().all(absent) {
            return Ok(self.collateral);
        }
        if let Some(set) = self.collateral.tdx.first().filter(|_| parts[..4].iter().all(absent)) {
            // Lists beside a whole set: what either of them revokes is revoked.
            let mut more = set.clone();
            more.pck_crl = pck_crl.map_or(more.pck_crl, Base64Bytes);
            more.root_ca_crl = root_crl.map_or(more.root_ca_crl, Base64Bytes);
            self.collateral.tdx.push(more);
            return Ok(self.collateral);
        }
        let missing: Vec<&str> =
            parts.iter().filter(|(part, _)| part.is_none()).map(|(_, name)| *name).collect();
        let (
            Some(tcb_info),
            Some(qe_identity),
            Some(signing_chain),
            Some(pck_chain),
            Some(pck_crl),
            Some(root_crl),
        ) = (tcb_info, qe_identity, signing_chain, pck_chain, pck_crl, root_crl)
        else {
            return Err(InputError::TdxCollateral { missing: missing.join(", ") });
        };
        let answers = PcsAnswers {
            tcb_info: &tcb_info,
            tcb_info_issuer_chain: &signing_chain,
            qe_identity: &qe_identity,
            qe_identity_issuer_chain: &signing_chain,
            pck_crl: &pck_crl,
            pck_crl_issuer_chain: &pck_chain,
            root_ca_crl: &root_crl,
        };
        let set = TdxCollateral::from_pcs(&answers)
            .map_err(|error| InputError::TdxCollateral { missing: error.to_string() })?;
        self.collateral.tdx.push(set);
        Ok(self.collateral)
    }
}

fn fill(place: &mut Option<Vec<u8>>, bytes: Vec<u8>, input: &Input) -> Result<(), InputError> {
    match place {
        // The service sends one chain with both documents.
        Some(known) if *known == bytes => Ok(()),
        None => {
            *place = Some(bytes);
            Ok(())
        }
        Some(_) => Err(input.form("each of Intel's answers once", "a second one of this kind").into()),
    }
}

/// A signed bundle of collateral.
#[derive(Debug, Args)]
pub(crate) struct LowCollateral {
    /// The bundle's file
    bundle: PathBuf,
    /// Ed25519 key of whoever signed the bundle
    #[arg(long, value_name = "HEX")]
    key: Hex<32>,
    /// Time as of which the bundle is held, RFC 3339 or Unix seconds; left out, now
    #[arg(long, value_name = "TIME", value_parser = super::args::time)]
    pub(crate) at: Option<u64>,
}

/// What a bundle was found to be.
#[derive(Debug, Serialize)]
pub(crate) struct Inspected {
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
    /// Unix seconds.
    at: u64,
    /// In its own time at `at`.
    current: bool,
    note: &'static str,
}

/// What the bundle's signature does not say.
const UNCHECKED: &str = "The vendors' own signatures inside are checked when the bundle is used, not here.";

impl LowCollateral {
    /// Opens the bundle: signature, digests, and that every item can be read.
    pub(crate) fn inspect(&self, now: u64) -> Result<Inspected, FileError> {
        let input = Input::read(&self.bundle)?;
        if !form::is_archive(&input.bytes) {
            return Err(input.form(super::args::BUNDLE, form::beginning(&input.bytes)));
        }
        let opened: Result<Bundle, BundleError> = Bundle::open(&input.bytes, &self.key);
        let read = opened.and_then(|bundle| bundle.collateral().map(|_| bundle));
        Ok(match read {
            Err(error) => Inspected {
                manifest: None,
                refused: Some(error.to_string()),
                at: now,
                current: false,
                note: UNCHECKED,
            },
            Ok(bundle) => {
                let manifest = bundle.manifest().clone();
                let newest = manifest.items.iter().filter_map(|item| item.not_before).max().unwrap_or(0);
                let current = now <= manifest.expires_at && now >= newest.max(manifest.created_at);
                Inspected { manifest: Some(manifest), refused: None, at: now, current, note: UNCHECKED }
            }
        })
    }
}

impl Inspected {
    /// Signed, whole and in its own time.
    pub(crate) fn holds(&self) -> bool {
        self.refused.is_none() && self.current
    }

    /// One line an item.
    pub(crate) fn text(&self) -> String {
        let Some(manifest) = &self.manifest else {
            return format!("REFUSED: {}\n", plain_lines(self.refused.as_deref().unwrap_or_default()));
        };
        let time = |at: Option<u64>| at.map_or("-".to_owned(), utc);
        let mut out = format!(
            "made {}, expires {}, {} items\n",
            utc(manifest.created_at),
            utc(manifest.expires_at),
            manifest.items.len()
        );
        for item in &manifest.items {
            out.push_str(&format!(
                "{:<44} {:>8} bytes  {}  to {}  {}\n",
                item.to_string(),
                item.len_bytes,
                time(item.not_before),
                time(item.not_after),
                item.sha256
            ));
        }
        out.push_str(match self.current {
            true => "SIGNED: whole and in its own time\n",
            false => "STALE: signed and whole, but not in its own time\n",
        });
        out.push_str(UNCHECKED);
        out.push('\n');
        out
    }
}
