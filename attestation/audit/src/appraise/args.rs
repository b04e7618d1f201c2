//! Command line of `appraise` and `explain`: what was typed, then what it means.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use tiltyard_attestation::collateral::ItemKind;
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::{self, Certificates};
use tiltyard_attestation::policy::{Level, PolicyDocument};
use tiltyard_attestation::{
    Base64Bytes, Collateral, CpuExhibit, DeviceExhibit, Exhibits, GPUS_MAX, Hex, Nonce, SWITCHES_MAX,
    TrustAnchors, Verifier,
};
use tiltyard_attestation::{snp, tdx};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::anchors;
use super::collateral::Sorted;
use super::error::InputError;
use super::examined::{Examined, Given};
use super::form::{self, hex};
use super::read::{FileError, Input, InputFile, Inputs};
use super::wrapped;

/// Evidence files in the vendors' own formats; binary, hex, base64, DER and PEM are recognised.
#[derive(Debug, Args)]
pub(crate) struct LowEvidence {
    /// AMD SEV-SNP attestation report, or Azure's report around one
    #[arg(long, value_name = "FILE")]
    snp_report: Option<PathBuf>,
    /// Endorsement key of the chip (VCEK) or of the provider (VLEK); its issuers may stand behind it, in a certificate table too
    #[arg(long, alias = "vlek", value_name = "FILE")]
    vcek: Option<PathBuf>,
    /// ASK (or ASVK) and ARK
    #[arg(long, value_name = "FILE")]
    cert_chain: Vec<PathBuf>,
    /// Intel TDX quote, or a guest agent's JSON answer with one
    #[arg(long, value_name = "FILE")]
    tdx_quote: Option<PathBuf>,
    /// Intel collateral: one JSON set, or the answers of the certification service, a file each
    #[arg(long, value_name = "FILE")]
    tdx_collateral: Vec<PathBuf>,
    /// Event log (CCEL) of the same boot as the quote
    #[arg(long, value_name = "FILE", requires = "tdx_quote")]
    ccel: Option<PathBuf>,
    /// SPDM report of a GPU or a switch; may be repeated
    #[arg(long, value_name = "FILE")]
    gpu_report: Vec<PathBuf>,
    /// Certificates of the device, in the order of the reports
    #[arg(long, value_name = "FILE")]
    gpu_certs: Vec<PathBuf>,
    /// Evidence of several devices as NVIDIA's tools write it (JSON)
    #[arg(long, value_name = "FILE")]
    gpu_evidence: Option<PathBuf>,
    /// Reference integrity manifest of a driver, VBIOS or switch, or the service's answer with one; may be repeated
    #[arg(long, value_name = "FILE")]
    rim: Vec<PathBuf>,
    /// Revocation list of any vendor; may be repeated
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// OCSP answer about a certificate of NVIDIA's; may be repeated
    #[arg(long, value_name = "FILE")]
    ocsp: Vec<PathBuf>,
    /// Signed bundle of collateral
    #[arg(long, value_name = "FILE", requires = "collateral_key")]
    collateral: Option<PathBuf>,
    /// Ed25519 key of whoever signed the bundle
    #[arg(long, value_name = "HEX", requires = "collateral")]
    collateral_key: Option<Hex<32>>,
    /// Time as of which everything is held, RFC 3339 or Unix seconds; left out, now
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<u64>,
    /// What the evidence was asked with: 32 bytes, or the whole 64 bytes of report data
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    /// What GPUs and switches were asked with, where that is not the nonce: 32 bytes
    #[arg(long, value_name = "HEX")]
    device_nonce: Option<Hex<32>>,
    /// strict, standard, lab, or a policy document
    #[arg(long, value_name = "PRESET|FILE", default_value = "lab")]
    policy: String,
    /// Folder of roots other than the vendors': every result then says NOT A VENDOR ROOT
    #[arg(long, value_name = "DIR")]
    trust_anchors: Option<PathBuf>,
}

/// What the arguments mean.
pub(crate) struct Evidence {
    exhibits: Exhibits,
    collateral: Collateral,
    verifier: Verifier,
    now: u64,
    /// What was done to the files before they were looked at.
    notes: Vec<String>,
    files: Vec<InputFile>,
}

impl Evidence {
    pub(crate) fn examine(self) -> Examined {
        let examination = self.verifier.examine(&self.exhibits, &self.collateral, self.now);
        let given = Given {
            nonces: nonces(&self.exhibits),
            collateral: self.collateral != Collateral::none(),
            event_log: matches!(self.exhibits.cpu, Some(CpuExhibit::Tdx { event_log: Some(_), .. })),
        };
        Examined { examination, given, notes: self.notes, files: self.files }
    }
}

/// The files of one command while they are read.
#[derive(Default)]
struct Reading {
    inputs: Inputs,
    notes: Vec<String>,
}

impl LowEvidence {
    /// Reads every file that was named.
    pub(crate) fn read(&self) -> Result<Evidence, InputError> {
        let now = now(self.at)?;
        let mut reading = Reading::default();
        let (cpu, devices) = (self.cpu(&mut reading)?, self.devices(&mut reading)?);
        let (nonce, device_nonce) = (self.nonce, self.device_nonce);
        let exhibits = Exhibits { cpu, devices, nonce, device_nonce };
        if exhibits.cpu.is_none() && exhibits.devices.is_empty() && self.rim.is_empty() {
            return Err(InputError::Nothing);
        }
        if exhibits.cpu.is_none() && matches!(exhibits.nonce, Some(Nonce::Whole(_))) {
            return Err(InputError::NonceOfCpu);
        }
        let anchors = match &self.trust_anchors {
            None => TrustAnchors::vendor(),
            Some(folder) => anchors::read(folder, &mut reading.inputs)?,
        };
        let document = policy(&self.policy, &mut reading.inputs)?;
        let wrong = |error| InputError::Policy { path: PathBuf::from(&self.policy), error };
        let verifier = Verifier::for_examination(anchors, &document).map_err(wrong)?;
        let collateral = self.collateral(&mut reading)?;
        let Reading { inputs: Inputs(files), notes } = reading;
        Ok(Evidence { exhibits, collateral, verifier, now, notes, files })
    }

    /// Every file that was named, and those of a folder of roots: what a page must not be written over.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let one =
            [&self.snp_report, &self.vcek, &self.tdx_quote, &self.ccel, &self.gpu_evidence, &self.collateral];
        let many = [
            &self.cert_chain,
            &self.tdx_collateral,
            &self.gpu_report,
            &self.gpu_certs,
            &self.rim,
            &self.crl,
            &self.ocsp,
        ];
        let roots = self.trust_anchors.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        let roots = roots.filter_map(|entry| Some(entry.ok()?.path()));
        let named = one.into_iter().flatten().chain(many.into_iter().flatten()).cloned();
        named.chain([PathBuf::from(&self.policy)]).chain(roots).collect()
    }

    fn cpu(&self, reading: &mut Reading) -> Result<Option<CpuExhibit>, InputError> {
        let snp = self.snp_report.is_some() || self.vcek.is_some() || !self.cert_chain.is_empty();
        match (snp, &self.tdx_quote) {
            (true, Some(_)) => Err(InputError::TwoCpus),
            (false, None) => Ok(None),
            (false, Some(quote)) => self.tdx(quote, reading).map(Some),
            (true, None) => self.snp(reading).map(Some),
        }
    }

    fn tdx(&self, quote: &Path, Reading { inputs, notes }: &mut Reading) -> Result<CpuExhibit, InputError> {
        let input = inputs.read("--tdx-quote", quote)?;
        let quote = match wrapped::quote(&input, notes)? {
            Some(quote) => quote,
            None => input.of_form("a TDX quote of version 4 or 5", form::is_quote)?,
        };
        let event_log = match &self.ccel {
            None => None,
            Some(path) => {
                let expected = "an event log, its first event with the specification's name";
                Some(inputs.read("--ccel", path)?.of_form(expected, form::is_event_log)?)
            }
        };
        Ok(CpuExhibit::Tdx { quote: unpadded(quote, notes), event_log })
    }

    fn snp(&self, Reading { inputs, notes }: &mut Reading) -> Result<CpuExhibit, InputError> {
        let report = match &self.snp_report {
            None => None,
            Some(path) => {
                let expected = "an SNP attestation report of 1184 bytes";
                let input = inputs.read("--snp-report", path)?;
                let report = wrapped::snp_report(input.content()?, notes);
                if !form::is_snp_report(&report) {
                    return Err(input.form(expected, form::beginning(&report)).into());
                }
                Some(report)
            }
        };
        let Some(vcek) = &self.vcek else {
            // A bundle may hold the chip's certificates.
            return match self.collateral.is_some() && report.is_some() && self.cert_chain.is_empty() {
                true => Ok(CpuExhibit::Snp { report, certificates: Vec::new() }),
                false => Err(InputError::Needs {
                    flag: "--snp-report or --cert-chain",
                    needs: "--vcek, or --collateral with a bundle that holds it",
                }),
            };
        };
        let input = inputs.read("--vcek", vcek)?;
        // Its issuers may stand behind it in the same file.
        let mut given = wrapped::certificates(&input, notes)?.into_iter();
        let vek = given.next().ok_or_else(|| input.form("a certificate", "none"))?;
        let mut given: Vec<Vec<u8>> = given.collect();
        for path in &self.cert_chain {
            given.extend(wrapped::certificates(&inputs.read("--cert-chain", path)?, notes)?);
        }
        // Files of one chain overlap: each certificate counts once.
        let mut others: Vec<Base64Bytes> = Vec::new();
        for der in given {
            if der != vek && others.iter().all(|other| other.0 != der) {
                others.push(der.into());
            }
        }
        let given = others.len();
        let certificates = snp::pick_chain(&vek, others);
        let left_out = given + 1 - certificates.len();
        if left_out > 0 {
            notes.push(format!(
                "{left_out} certificate(s) of the chain files are not of this chain and were left out"
            ));
        }
        Ok(CpuExhibit::Snp { report, certificates })
    }

    fn devices(&self, Reading { inputs, .. }: &mut Reading) -> Result<Vec<DeviceExhibit>, InputError> {
        let mut devices = Vec::new();
        if let Some(path) = &self.gpu_evidence {
            let input = inputs.read("--gpu-evidence", path)?;
            let listed = nvidia::files::evidence(input.text())
                .map_err(|error| input.form("device evidence", error))?;
            devices.extend(listed.into_iter().map(|device| DeviceExhibit {
                nonce: device.nonce,
                architecture: Some(device.architecture),
                kind: device.kind(),
                certificates: Certificates::from_der(device.certificates),
                report: Some(device.report),
            }));
        }
        let (reports, chains) = (self.gpu_report.len(), self.gpu_certs.len());
        if reports != chains && reports != 0 {
            return Err(InputError::Pairs { reports, chains });
        }
        for (at, chain) in self.gpu_certs.iter().enumerate() {
            let report = self
                .gpu_report
                .get(at)
                .map(|path| device_report(&inputs.read("--gpu-report", path)?))
                .transpose()?;
            devices.push(DeviceExhibit {
                nonce: None,
                architecture: None,
                kind: report.as_deref().map_or(DeviceKind::Gpu, nvidia::files::kind_of),
                report,
                certificates: Certificates::from_der(inputs.read("--gpu-certs", chain)?.der()?),
            });
        }
        for (kind, what, limit) in
            [(DeviceKind::Gpu, "GPUs", GPUS_MAX), (DeviceKind::Switch, "switches", SWITCHES_MAX)]
        {
            let got = devices.iter().filter(|device| device.kind == kind).count();
            if got > limit {
                return Err(InputError::TooMany { what, limit, got });
            }
        }
        Ok(devices)
    }

    fn collateral(&self, Reading { inputs, notes }: &mut Reading) -> Result<Collateral, InputError> {
        let mut sorted = Sorted::default();
        for path in &self.tdx_collateral {
            sorted.intel(&inputs.read("--tdx-collateral", path)?)?;
        }
        for path in &self.rim {
            let input = inputs.read("--rim", path)?;
            let answered = wrapped::manifest(&input, notes)?;
            let text = answered.as_deref().unwrap_or(input.text());
            if !form::is_manifest(text) {
                let got = form::beginning(text);
                return Err(input.form("a reference manifest: XML with a SoftwareIdentity", got).into());
            }
            sorted.collateral.rims.push(answered.unwrap_or(input.bytes).into());
        }
        for path in &self.crl {
            sorted.revocation_list(&inputs.read("--crl", path)?)?;
        }
        for path in &self.ocsp {
            let is_answer = |bytes: &[u8]| ItemKind::NvidiaOcsp.check(bytes).is_ok();
            let answer = inputs.read("--ocsp", path)?.of_form("an OCSP answer, DER", is_answer)?;
            sorted.collateral.ocsp.push(answer.into());
        }
        let loose = sorted.finish()?;
        match (&self.collateral, &self.collateral_key) {
            (Some(path), Some(key)) if loose == Collateral::none() => {
                let input = inputs.read("--collateral", path)?;
                if !form::is_archive(&input.bytes) {
                    return Err(input.form(BUNDLE, form::beginning(&input.bytes)).into());
                }
                Ok(Collateral::from_bundle(&input.bytes, key))
            }
            (Some(_), Some(_)) => Err(InputError::TwoSources),
            _ => Ok(loose),
        }
    }
}

/// What `collateral sign` makes.
pub(super) const BUNDLE: &str = "a signed bundle of collateral, a ustar archive";

/// A device's report, binary or in hex.
fn device_report(input: &Input) -> Result<Vec<u8>, InputError> {
    let bytes = input.content()?;
    nvidia::files::report(&bytes)
        .map_err(|_| input.form("an SPDM 1.1 measurement report", form::beginning(&bytes)).into())
}

/// The time that was given, or the system's.
pub(crate) fn now(at: Option<u64>) -> Result<u64, InputError> {
    match at {
        Some(at) => Ok(at),
        None => Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| InputError::Clock)?.as_secs()),
    }
}

fn policy(name: &str, inputs: &mut Inputs) -> Result<PolicyDocument, InputError> {
    Ok(match name {
        "strict" => PolicyDocument::preset(Level::Strict),
        "standard" => PolicyDocument::preset(Level::Standard),
        "lab" => PolicyDocument::preset(Level::Lab),
        _ => {
            let path = Path::new(name);
            let input = inputs.read("--policy", path).map_err(|error| match error {
                FileError::Read { error, .. } if error.kind() == ErrorKind::NotFound => {
                    InputError::PolicyName { name: name.to_owned() }
                }
                other => other.into(),
            })?;
            PolicyDocument::from_bytes(input.text())
                .map_err(|error| InputError::Policy { path: path.to_owned(), error })?
        }
    })
}

/// A quote without the zero bytes that fill the buffer it was collected into.
///
/// The verifier takes no byte beyond the quote's declared length, and a collector should have trimmed it. Files that
/// are a whole buffer are trimmed here, aloud; anything else behind a quote stays, and is refused.
fn unpadded(mut quote: Vec<u8>, notes: &mut Vec<String>) -> Vec<u8> {
    /// Buffers of known collectors: a quote of version 4 has 4,936 bytes and one of version 5 over TDX 1.5 70 more, one
    /// over its extended body 237 beyond that (seen with 4 more); and 8,000 bytes.
    const BUFFERS: [usize; 4] = [5_006, 5_243, 5_247, 8_000];
    const PAGE: usize = 4_096;
    let Ok(declared) = tdx::declared_len(&quote) else { return quote };
    let whole_buffer = BUFFERS.contains(&quote.len()) || quote.len().is_multiple_of(PAGE);
    let padding = quote.get(declared..).unwrap_or_default();
    if whole_buffer && !padding.is_empty() && padding.iter().all(|&byte| byte == 0) {
        let (len, count) = (quote.len(), padding.len());
        notes.push(format!(
            "the file is a buffer of {len} bytes; the last {count}, all zero, are not of the quote and were left out"
        ));
        quote.truncate(declared);
    }
    quote
}

/// RFC 3339, or Unix seconds.
pub(crate) fn time(text: &str) -> Result<u64, String> {
    // A sign or a space is no part of a time.
    if text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(seconds) = text.parse::<u64>()
    {
        return Ok(seconds);
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "expected RFC 3339, as in 2026-11-22T18:00:00Z, or Unix seconds".to_owned())?;
    u64::try_from(moment.unix_timestamp()).map_err(|_| "expected a time after 1970".to_owned())
}

/// What was asked with, as rows of the table spell it.
fn nonces(exhibits: &Exhibits) -> Vec<String> {
    let of_cpu = exhibits.nonce.map(|nonce| match nonce {
        Nonce::Whole(whole) => whole.to_string(),
        // The other half of REPORT_DATA is zero.
        Nonce::Half(half) => format!("{half}{}", Hex([0; 32])),
    });
    let of_devices = exhibits.device_nonce.or(match exhibits.nonce {
        Some(Nonce::Half(half)) => Some(half),
        Some(Nonce::Whole(_)) | None => None,
    });
    of_cpu.into_iter().chain(of_devices.map(|nonce| nonce.to_string())).collect()
}

fn nonce(text: &str) -> Result<Nonce, String> {
    let bytes = hex(text.as_bytes()).ok_or("expected hex digits")?;
    match (Hex::from_slice(&bytes), Hex::from_slice(&bytes)) {
        (Some(half), _) => Ok(Nonce::Half(half)),
        (_, Some(whole)) => Ok(Nonce::Whole(whole)),
        _ => Err(format!("expected 32 or 64 bytes, found {}", bytes.len())),
    }
}
