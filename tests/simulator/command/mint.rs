//! Commands `mint` and `attacks`: evidence as files, honest or not.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use tiltyard_attestation::binding::Runtime;
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{CheckId, Code, Hex};
use tiltyard_simulator::files::{self, File};
use tiltyard_simulator::hostile::Expected;
use tiltyard_simulator::hostile::composite::{self, CompositeVariant};
use tiltyard_simulator::hostile::snp::{self, SnpVariant};
use tiltyard_simulator::hostile::tdx::{self, TdxVariant};
use tiltyard_simulator::nvidia::certificate::midnight;
use tiltyard_simulator::{NOTICE, hostile};

use crate::{CliError, ProductLine, now, print, seed, write_file};

#[derive(Args)]
pub(crate) struct Mint {
    /// File of 64 hex digits; the same seed, form and time give the same bytes.
    #[arg(long)]
    seed_file: PathBuf,
    /// A TDX quote of this form; this or --snp.
    #[arg(long, value_enum, required_unless_present = "snp", conflicts_with = "snp")]
    tdx: Option<Form>,
    /// An SNP report of this product: V3, of Turin V5.
    #[arg(long, value_enum)]
    snp: Option<ProductLine>,
    /// Evidence of this attack, which chooses form, product and devices itself; `tiltyard-simulator attacks` lists
    /// them. Those on the challenge, the charter or what a guest says of its own devices show to a broker, which knows
    /// these, and not to `tiltyard-audit appraise`.
    #[arg(long)]
    attack: Option<String>,
    /// Devices beside the CPU (Genoa, Turin, v4 or v5): a whole guest, and its envelope as the verifier gets it
    /// (`evidence.json`).
    #[arg(long, value_enum)]
    devices: Option<Devices>,
    /// REPORT_DATA, 64 bytes in hex; left out, the digest of the sample guest's runtime document.
    #[arg(long, conflicts_with = "devices")]
    report_data: Option<Hex<64>>,
    /// Time of the evidence, in Unix seconds, from 2024-03-09 to 2047-12-26; left out, now.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_710_000_000..2_461_000_000))]
    at: Option<u64>,
    /// Folder that keeps the RSA keys of AMD's authorities, which take seconds to make.
    #[arg(long)]
    key_cache: Option<PathBuf>,
    /// Folder to make; one that is there must be empty.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// Version 4.
    V4,
    /// Version 5 of a TD 1.0: body type 2.
    V5Td10,
    /// Version 5 of a TD 1.5: body type 3.
    V5,
}

/// What a guest has beside its CPU.
#[derive(Clone, Copy, ValueEnum)]
enum Devices {
    /// None: a referee.
    None,
    /// One H100.
    H100,
    /// Eight H100 and four LS10 in protected PCIe.
    Ppcie,
    /// Eight B200 in multi-GPU passthrough.
    Mpt,
}

/// What was made, and what the evidence was asked with.
struct Minted {
    files: Vec<File>,
    report_data: Hex<64>,
    /// What the devices were to be asked with.
    device_nonce: Option<Hex<32>>,
}

/// One line of JSON for each attack.
pub(crate) fn list_attacks() -> Result<(), CliError> {
    fn row<B, D>(evidence: &str, variant: &hostile::Variant<B, D>) -> Result<(), CliError> {
        let hostile::Variant { name, attack, check, code, level, how, .. } = variant;
        let (check, code): (&CheckId, &Code) = (check, code);
        print(&json!({
            "evidence": evidence, "name": name, "attack": attack, "check": check, "code": code, "level": level,
            "how": how,
        }))
    }
    snp::variants().try_for_each(|variant| row("snp", variant))?;
    tdx::variants().try_for_each(|variant| row("tdx", variant))?;
    composite::variants().try_for_each(|variant| row("composite", variant))
}

impl Mint {
    /// Writes the files, and prints their names with the command that appraises them.
    pub(crate) fn run(&self) -> Result<(), CliError> {
        let at = self.at.map_or_else(now, Ok)?;
        let place = self.place()?;
        let Minted { mut files, report_data, device_nonce } = match (self.devices, self.snp, self.tdx) {
            (Some(devices), ..) => self.composite(devices, at)?,
            (None, Some(product), _) => self.snp(product, at)?,
            (None, None, form) => self.tdx(form.unwrap_or(Form::V4), at)?,
        };
        files.push(File::new("NOTICE", None, format!("{NOTICE}\n").into_bytes()));
        self.write(&place, &files)?;
        let mut line = json!({ "files": &files, "nonce": report_data, "notice": NOTICE });
        if let Some(nonce) = device_nonce {
            line["device_nonce"] = json!(nonce);
        }
        line["appraise"] = json!(self.appraise(&Minted { files, report_data, device_nonce }, at));
        print(&line)
    }

    /// The folder to make, looked at before anything is minted: a new one, or one that is there and empty.
    fn place(&self) -> Result<PathBuf, CliError> {
        let failed = |source| CliError::File { path: self.out.clone(), source };
        let place = match self.out.canonicalize() {
            Ok(place) => place,
            Err(_) => {
                let name = self.out.file_name().ok_or_else(|| failed(ErrorKind::InvalidInput.into()))?;
                let parent = match self.out.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                std::fs::create_dir_all(parent).map_err(failed)?;
                parent.canonicalize().map_err(failed)?.join(name)
            }
        };
        match std::fs::read_dir(&place).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(place),
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(place),
            Ok(false) | Err(_) => Err(CliError::OutExists { path: self.out.clone() }),
        }
    }

    /// Writes all files or none: into a new folder beside, which then takes the place of none or of an empty one.
    fn write(&self, place: &Path, files: &[File]) -> Result<(), CliError> {
        let failed = |source| CliError::File { path: self.out.clone(), source };
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let made = place.with_file_name(name);
        std::fs::create_dir(&made).map_err(failed)?;
        let written = files
            .iter()
            .try_for_each(|file| write_file(&made.join(&file.name), &file.bytes, 0o644))
            .and_then(|()| std::fs::rename(&made, place).map_err(failed));
        if written.is_err() {
            // Best effort: the write's own error is the one to report.
            let _ = std::fs::remove_dir_all(&made);
        }
        written
    }

    fn snp(&self, product: ProductLine, at: u64) -> Result<Minted, CliError> {
        let attack = self.named(snp::variants(), |variant| variant.name)?;
        let lab = snp::Lab::from_seed(&*seed(&self.seed_file)?, self.key_cache.as_deref(), at)?;
        let base = attack.map_or_else(|| product.base(), |variant: &SnpVariant| variant.base);
        let mut draft = base.draft(&lab)?;
        let report_data = self.report_data.unwrap_or_else(|| Runtime::report_data(&draft.runtime.to_bytes()));
        draft.report_data = Some(report_data);
        attack.iter().for_each(|attack| attack.before_signing(&mut draft));
        let mut set = lab.issue(&draft)?;
        attack.iter().for_each(|attack| attack.after_signing(&mut set));
        let files = files::of_set(&set, attack.map_or(Level::Lab, |attack| attack.level));
        Ok(Minted { files, report_data, device_nonce: None })
    }

    fn tdx(&self, form: Form, at: u64) -> Result<Minted, CliError> {
        let attack = self.named(tdx::variants(), |variant| variant.name)?;
        let lab = tdx::Lab::from_seed(&*seed(&self.seed_file)?, at);
        let base = attack.map_or_else(|| form.base(), |variant: &TdxVariant| variant.base);
        let mut draft = base.draft(&lab);
        let report_data = self.report_data.unwrap_or_else(|| Runtime::report_data(&draft.runtime.to_bytes()));
        draft.report_data = Some(report_data);
        attack.iter().for_each(|attack| attack.before_signing(&mut draft));
        let mut set = lab.issue(&draft);
        attack.iter().for_each(|attack| attack.after_signing(&mut set));
        let mut files = files::of_set(&set, attack.map_or(Level::Lab, |attack| attack.level));
        files.push(File::new("ccel_table.bin", None, draft.td.log.acpi_table()));
        Ok(Minted { files, report_data, device_nonce: None })
    }

    /// A whole guest: what binds its parts is in the envelope, the rest in the vendors' own files as well.
    fn composite(&self, devices: Devices, at: u64) -> Result<Minted, CliError> {
        let (cpu, attack) = (self.cpu()?, self.named(composite::variants(), |variant| variant.name)?);
        if !MANIFEST_SIGNERS_LIVE.contains(&at) {
            return Err(CliError::DevicesAt { at });
        }
        let lab = composite::Lab::from_seed(&*seed(&self.seed_file)?, self.key_cache.as_deref(), at)?;
        let board = attack.map_or_else(|| devices.board(), |variant: &CompositeVariant| variant.base);
        let mut draft = lab.draft(cpu, board)?;
        attack.iter().for_each(|attack| attack.before_signing(&mut draft));
        let mut set = lab.issue(&draft)?;
        attack.iter().for_each(|attack| attack.after_signing(&mut set));
        let mut files = files::of_set(&set, attack.map_or(Level::Lab, |attack| attack.level));
        // Strings and integers only, which always serialise.
        let envelope = serde_json::to_vec(&set.evidence).unwrap_or_default();
        files.push(File::new("evidence.json", None, envelope));
        let report_data = Runtime::report_data(&set.evidence.runtime.0);
        let Expected { nonce, guest, .. } = &set.expected;
        let device_nonce =
            (!set.evidence.devices.is_empty()).then(|| Runtime::device_nonce(nonce, &guest.tee_pubkey));
        Ok(Minted { files, report_data, device_nonce })
    }

    /// The CPU of a whole guest.
    fn cpu(&self) -> Result<composite::Cpu, CliError> {
        match (self.snp, self.tdx) {
            (Some(ProductLine::Genoa), _) => Ok(composite::Cpu::Genoa),
            (Some(ProductLine::Turin), _) => Ok(composite::Cpu::Turin),
            (None, Some(Form::V4)) => Ok(composite::Cpu::TdxV4),
            (None, Some(Form::V5)) => Ok(composite::Cpu::TdxV5),
            (Some(ProductLine::Milan), _) | (None, Some(Form::V5Td10) | None) => Err(CliError::Devices),
        }
    }

    /// The attack that was asked for.
    fn named<V>(
        &self,
        mut table: impl Iterator<Item = &'static V>,
        name: impl Fn(&V) -> &'static str,
    ) -> Result<Option<&'static V>, CliError> {
        let Some(asked) = &self.attack else { return Ok(None) };
        match table.find(|row| name(row) == asked) {
            Some(row) => Ok(Some(row)),
            None => Err(CliError::Attack { name: asked.clone() }),
        }
    }

    fn appraise(&self, minted: &Minted, at: u64) -> String {
        let Minted { files, report_data, device_nonce } = minted;
        let path = |name: &str| self.out.join(name).display().to_string();
        let mut words = vec!["tiltyard-audit".to_owned(), "appraise".to_owned()];
        for file in files {
            words.extend(file.flag.iter().flat_map(|flag| [(*flag).to_owned(), path(&file.name)]));
        }
        words.extend(["--trust-anchors".to_owned(), self.out.display().to_string()]);
        words.extend(["--nonce".to_owned(), report_data.to_string(), "--at".to_owned(), at.to_string()]);
        words.extend(device_nonce.iter().flat_map(|nonce| ["--device-nonce".to_owned(), nonce.to_string()]));
        words.join(" ")
    }
}

impl Devices {
    fn board(self) -> composite::Board {
        match self {
            Self::None => composite::Board::Bare,
            Self::H100 => composite::Board::OneH100,
            Self::Ppcie => composite::Board::ProtectedPcie,
            Self::Mpt => composite::Board::EightB200,
        }
    }
}

impl Form {
    fn base(self) -> tdx::Base {
        match self {
            Self::V4 => tdx::Base::V4,
            Self::V5Td10 => tdx::Base::V5Td10,
            Self::V5 => tdx::Base::V5Td15,
        }
    }
}

impl ProductLine {
    fn base(self) -> snp::Base {
        match self {
            Self::Milan => snp::Base::Milan,
            Self::Genoa => snp::Base::Genoa,
            Self::Turin => snp::Base::Turin,
        }
    }
}

/// When manifests can be signed, in Unix seconds; an answer about a signer is an hour old when it is shown.
const MANIFEST_SIGNERS_LIVE: Range<u64> = midnight(2026, 1, 13)..midnight(2028, 1, 12);
