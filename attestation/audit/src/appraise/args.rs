//! Command line of `appraise` and `explain`: what was typed, then what it means.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::{self, Certificates};
use tiltyard_attestation::policy::{Level, PolicyDocument};
use tiltyard_attestation::{
    Base64Bytes, Collateral, CpuExhibit, DeviceExhibit, Examination, Exhibits, Hex, Nonce, TrustAnchors,
    Verifier,
};
use tiltyard_attestation::{snp, tdx};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::anchors;
use super::collateral::Sorted;
use super::read::{FileError, Input, hex};

/// Evidence files in the vendors' own formats; binary, hex, DER and PEM are recognised.
#[derive(Debug, Args)]
pub(crate) struct LowEvidence {
    /// AMD SEV-SNP attestation report
    #[arg(long, value_name = "FILE")]
    snp_report: Option<PathBuf>,
    /// Endorsement key of the chip (VCEK) or of the provider (VLEK)
    #[arg(long, alias = "vlek", value_name = "FILE")]
    vcek: Option<PathBuf>,
    /// ASK (or ASVK) and ARK
    #[arg(long, value_name = "FILE")]
    cert_chain: Vec<PathBuf>,
    /// Intel TDX quote
    #[arg(long, value_name = "FILE")]
    tdx_quote: Option<PathBuf>,
    /// Intel collateral: one JSON set, or the answers of the certification service, a file each
    #[arg(long, value_name = "FILE")]
    tdx_collateral: Vec<PathBuf>,
    /// Event log (CCEL) of the same boot as the quote
    #[arg(long, value_name = "FILE")]
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
    /// Reference integrity manifest of a driver, VBIOS or switch; may be repeated
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
    #[arg(long, value_name = "HEX")]
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

/// Why evidence could not be laid before the verifier.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "no evidence\n  give --snp-report, --vcek, --tdx-quote, --gpu-report, --gpu-certs, --gpu-evidence or --rim"
    )]
    Nothing,
    #[error("evidence of two CPUs: expected --snp-report or --tdx-quote, found both")]
    TwoCpus,
    #[error("{flag} without {needs}")]
    Needs { flag: &'static str, needs: &'static str },
    #[error(
        "{reports} device reports and {chains} files of certificates\n  give one --gpu-certs for each --gpu-report, in order"
    )]
    Pairs { reports: usize, chains: usize },
    #[error("policy {name}: expected strict, standard, lab or a file\n  {error}")]
    PolicyName { name: String, error: FileError },
    #[error("{path}: {error}", path = path.display())]
    Policy { path: PathBuf, error: tiltyard_attestation::PolicyError },
    #[error("{path}: {what}", path = path.display())]
    Anchors { path: PathBuf, what: String },
    #[error("Intel's collateral is not whole: {missing}")]
    TdxCollateral { missing: String },
    #[error("--collateral beside single files of collateral\n  give the bundle or the files")]
    TwoSources,
    #[error("the system's clock is before 1970")]
    Clock,
}

/// What the arguments mean.
pub(crate) struct Evidence {
    exhibits: Exhibits,
    collateral: Collateral,
    verifier: Verifier,
    now: u64,
    /// What was done to the files before they were looked at.
    pub(crate) notes: Vec<String>,
}

impl Evidence {
    pub(crate) fn examine(&self) -> Examination {
        self.verifier.examine(&self.exhibits, &self.collateral, self.now)
    }
}

impl LowEvidence {
    /// Reads every file that was named.
    pub(crate) fn read(&self) -> Result<Evidence, InputError> {
        let now = now(self.at)?;
        let mut notes = Vec::new();
        let (nonce, device_nonce) = (self.nonce, self.device_nonce);
        let exhibits = Exhibits { cpu: self.cpu(&mut notes)?, devices: self.devices()?, nonce, device_nonce };
        if exhibits.cpu.is_none() && exhibits.devices.is_empty() && self.rim.is_empty() {
            return Err(InputError::Nothing);
        }
        let anchors = match &self.trust_anchors {
            None => TrustAnchors::vendor(),
            Some(folder) => anchors::read(folder)?,
        };
        let document = policy(&self.policy)?;
        let wrong = |error| InputError::Policy { path: PathBuf::from(&self.policy), error };
        let verifier = Verifier::for_examination(anchors, &document).map_err(wrong)?;
        let collateral = self.collateral()?;
        Ok(Evidence { exhibits, collateral, verifier, now, notes })
    }

    fn cpu(&self, notes: &mut Vec<String>) -> Result<Option<CpuExhibit>, InputError> {
        let snp = self.snp_report.is_some() || self.vcek.is_some() || !self.cert_chain.is_empty();
        match (snp, &self.tdx_quote) {
            (true, Some(_)) => Err(InputError::TwoCpus),
            (false, None) if self.ccel.is_some() => {
                Err(InputError::Needs { flag: "--ccel", needs: "--tdx-quote" })
            }
            (false, None) => Ok(None),
            (false, Some(quote)) => {
                let event_log = self.ccel.as_deref().map(Input::read).transpose()?;
                Ok(Some(CpuExhibit::Tdx {
                    quote: unpadded(Input::read(quote)?.binary_or_hex(), notes),
                    event_log: event_log.map(|input| input.binary_or_hex()),
                }))
            }
            (true, None) => {
                let Some(vcek) = &self.vcek else {
                    return Err(InputError::Needs { flag: "--snp-report or --cert-chain", needs: "--vcek" });
                };
                let report = self.snp_report.as_deref().map(Input::read).transpose()?;
                let input = Input::read(vcek)?;
                let [vek] = <[Vec<u8>; 1]>::try_from(input.der()?)
                    .map_err(|all| input.form("one certificate", all.len()))?;
                let mut others: Vec<Base64Bytes> = Vec::new();
                for path in &self.cert_chain {
                    others.extend(Input::read(path)?.der()?.into_iter().map(Base64Bytes));
                }
                let given = others.len();
                let certificates = snp::pick_chain(&vek, others);
                let left_out = given + 1 - certificates.len();
                if left_out > 0 {
                    notes.push(format!(
                        "{left_out} certificate(s) of the chain files are not of this chain and were left out"
                    ));
                }
                Ok(Some(CpuExhibit::Snp { report: report.map(|input| input.binary_or_hex()), certificates }))
            }
        }
    }

    fn devices(&self) -> Result<Vec<DeviceExhibit>, InputError> {
        let mut devices = Vec::new();
        if let Some(path) = &self.gpu_evidence {
            let input = Input::read(path)?;
            let listed = nvidia::files::evidence(&input.bytes)
                .map_err(|error| input.form("device evidence", error))?;
            devices.extend(listed.into_iter().map(|device| DeviceExhibit {
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
            let report = match self.gpu_report.get(at) {
                Some(path) => {
                    let input = Input::read(path)?;
                    let bytes =
                        nvidia::files::report(&input.bytes).map_err(|error| input.form("a report", error))?;
                    Some(bytes)
                }
                None => None,
            };
            devices.push(DeviceExhibit {
                kind: report.as_deref().map_or(DeviceKind::Gpu, nvidia::files::kind_of),
                report,
                certificates: Certificates::from_der(Input::read(chain)?.der()?),
            });
        }
        Ok(devices)
    }

    fn collateral(&self) -> Result<Collateral, InputError> {
        let mut sorted = Sorted::default();
        for path in &self.tdx_collateral {
            sorted.intel(&Input::read(path)?)?;
        }
        for path in &self.rim {
            sorted.collateral.rims.push(Input::read(path)?.bytes.into());
        }
        for path in &self.crl {
            sorted.revocation_list(&Input::read(path)?)?;
        }
        for path in &self.ocsp {
            sorted.collateral.ocsp.push(Input::read(path)?.binary_or_hex().into());
        }
        let loose = sorted.finish()?;
        match (&self.collateral, &self.collateral_key) {
            (Some(path), Some(key)) if loose == Collateral::none() => {
                Ok(Collateral::from_bundle(&Input::read(path)?.bytes, key))
            }
            (Some(_), Some(_)) => Err(InputError::TwoSources),
            _ => Ok(loose),
        }
    }
}

/// The time that was given, or the system's.
pub(crate) fn now(at: Option<u64>) -> Result<u64, InputError> {
    match at {
        Some(at) => Ok(at),
        None => Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| InputError::Clock)?.as_secs()),
    }
}

fn policy(name: &str) -> Result<PolicyDocument, InputError> {
    Ok(match name {
        "strict" => PolicyDocument::preset(Level::Strict),
        "standard" => PolicyDocument::preset(Level::Standard),
        "lab" => PolicyDocument::preset(Level::Lab),
        _ => {
            let path = Path::new(name);
            let input =
                Input::read(path).map_err(|error| InputError::PolicyName { name: name.to_owned(), error })?;
            PolicyDocument::from_bytes(&input.bytes)
                .map_err(|error| InputError::Policy { path: path.to_owned(), error })?
        }
    })
}

/// A quote without the zero bytes that fill the buffer it was collected into.
///
/// The verifier takes no byte beyond the quote's declared length, and a collector should have trimmed it. Files that
/// are a whole buffer are trimmed here, aloud; anything else behind a quote stays, and is refused.
fn unpadded(mut quote: Vec<u8>, notes: &mut Vec<String>) -> Vec<u8> {
    /// Buffers of known collectors: the longest quote of TDX 1.5, and 8,000 bytes.
    const BUFFERS: [usize; 2] = [5_006, 8_000];
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
pub(super) fn time(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(seconds);
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "expected RFC 3339, as in 2026-11-22T18:00:00Z, or Unix seconds".to_owned())?;
    u64::try_from(moment.unix_timestamp()).map_err(|_| "expected a time after 1970".to_owned())
}

fn nonce(text: &str) -> Result<Nonce, String> {
    let bytes = hex(text.as_bytes()).ok_or("expected hex digits")?;
    match (Hex::from_slice(&bytes), Hex::from_slice(&bytes)) {
        (Some(half), _) => Ok(Nonce::Half(half)),
        (_, Some(whole)) => Ok(Nonce::Whole(whole)),
        _ => Err(format!("expected 32 or 64 bytes, found {}", bytes.len())),
    }
}
