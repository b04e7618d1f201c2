//! Arguments as meant: every text is parsed here, and nowhere later.

use std::net::SocketAddr;
use std::path::PathBuf;

use tiltyard_attestation::Hex;
use tiltyard_provisioning::charter::BrokerOwner;
use tiltyard_provisioning::dataset::{Fields, Format, Mapping};
use tiltyard_provisioning::keyid::{ID_MAX_BYTES, KeyId, is_id};

use super::LowArgs;
use super::low::{
    self, BrokerRole, LowCharter, LowCollateral, LowCommand, LowContainer, SourceFormat, TaskKind,
};
use crate::PassphraseSource;

/// Longest name, label, licence or column, in bytes.
const TEXT_MAX_BYTES: usize = 128;

/// One command with all its values.
pub(crate) struct HiArgs {
    pub command: Command,
}

pub(crate) enum Command {
    Init(InitArgs),
    Identity { dir: PathBuf },
    EntrantInit { home: HomeArgs, kdf_memory_mib: u32 },
    Check(SourceArgs),
    Seal(SealArgs),
    Submit(SubmitArgs),
    Enrol(EnrolArgs),
    CharterSign(CharterSignArgs),
    CharterDiff { old: PathBuf, new: PathBuf },
    CharterShow { envelope: PathBuf },
    CollateralSign(CollateralSignArgs),
    ContainerSeal(ContainerArgs),
    ContainerOpen(ContainerArgs),
    ContainerInspect { input: PathBuf, key: Option<(PathBuf, Hex<32>)> },
    Serve(ServeArgs),
    Token { dir: PathBuf, lease: Hex<16> },
    Open(OpenArgs),
}

/// A home and how to unlock it.
pub(crate) struct HomeArgs {
    pub dir: PathBuf,
    pub passphrase: PassphraseSource,
}

pub(crate) struct InitArgs {
    pub home: HomeArgs,
    pub role: BrokerOwner,
    pub kdf_memory_mib: u32,
}

pub(crate) struct SealArgs {
    pub home: HomeArgs,
    pub tenant: String,
    pub dataset_id: String,
    pub source: SourceArgs,
    pub test_rows: u64,
    pub licence: String,
    pub valid_days: u32,
    pub out: PathBuf,
}

/// A file of rows and what its columns are.
pub(crate) struct SourceArgs {
    pub input: PathBuf,
    pub format: Format,
    pub mapping: Mapping,
}

pub(crate) struct SubmitArgs {
    pub home: HomeArgs,
    pub recipe: PathBuf,
    pub tournament: String,
    pub base: String,
    pub licence: String,
    pub escrow: PathBuf,
    pub out: PathBuf,
}

pub(crate) struct EnrolArgs {
    pub home: HomeArgs,
    pub submission: PathBuf,
    pub label: String,
    pub champion: bool,
    pub buy_in: u64,
    pub stake: u64,
    pub completed_entries: u32,
    pub log_permitted: bool,
    pub out: PathBuf,
}

pub(crate) struct CharterSignArgs {
    pub home: HomeArgs,
    pub charter: PathBuf,
    pub envelope: Option<PathBuf>,
    pub previous: Option<PathBuf>,
    pub out: PathBuf,
    pub confirm: Option<String>,
}

pub(crate) struct CollateralSignArgs {
    pub home: HomeArgs,
    pub from: PathBuf,
    pub expires_days: u32,
    pub out: PathBuf,
}

/// One container and the file that it seals.
pub(crate) struct ContainerArgs {
    pub key_file: PathBuf,
    pub context: Hex<32>,
    pub input: PathBuf,
    pub out: PathBuf,
    pub threads: usize,
}

pub(crate) struct ServeArgs {
    pub home: HomeArgs,
    pub charter: PathBuf,
    pub listen: SocketAddr,
    pub anchors: Option<PathBuf>,
    pub collateral: Option<PathBuf>,
    pub collateral_key: Option<Hex<32>>,
    pub port_file: Option<PathBuf>,
}

pub(crate) struct OpenArgs {
    pub home: HomeArgs,
    pub key_id: KeyId,
    pub object: PathBuf,
    pub name: Hex<16>,
    pub order: Hex<32>,
    pub out: PathBuf,
}

/// Which argument is not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{argument}: expected {expected}, found {got:?}")]
pub(crate) struct UsageError {
    argument: &'static str,
    expected: String,
    got: String,
}

impl TryFrom<LowArgs> for HiArgs {
    type Error = UsageError;

    fn try_from(low: LowArgs) -> Result<Self, UsageError> {
        Ok(Self { command: Command::try_from(low.command)? })
    }
}

impl TryFrom<LowCommand> for Command {
    type Error = UsageError;

    fn try_from(low: LowCommand) -> Result<Self, UsageError> {
        Ok(match low {
            LowCommand::Init(low) => Self::Init(low.into()),
            LowCommand::Identity(low) => Self::Identity { dir: low.dir },
            LowCommand::EntrantInit(low) => {
                Self::EntrantInit { home: low.unlock.into(), kdf_memory_mib: low.kdf_memory_mib }
            }
            LowCommand::Check(low) => Self::Check(low.try_into()?),
            LowCommand::Seal(low) => Self::Seal(low.try_into()?),
            LowCommand::Submit(low) => Self::Submit(low.try_into()?),
            LowCommand::Enrol(low) => Self::Enrol(low.try_into()?),
            LowCommand::Charter(LowCharter::Sign(low)) => Self::CharterSign(low.into()),
            LowCommand::Charter(LowCharter::Diff(low)) => Self::CharterDiff { old: low.old, new: low.new },
            LowCommand::Charter(LowCharter::Show(low)) => Self::CharterShow { envelope: low.envelope },
            LowCommand::Collateral(LowCollateral::Sign(low)) => Self::CollateralSign(low.into()),
            LowCommand::Container(LowContainer::Seal(low)) => Self::ContainerSeal(low.into()),
            LowCommand::Container(LowContainer::Open(low)) => Self::ContainerOpen(low.into()),
            LowCommand::Container(LowContainer::Inspect(low)) => {
                Self::ContainerInspect { input: low.input, key: low.key_file.zip(low.context) }
            }
            LowCommand::Serve(low) => Self::Serve(low.try_into()?),
            LowCommand::Token(low) => Self::Token { dir: low.dir, lease: low.lease },
            LowCommand::Open(low) => Self::Open(low.try_into()?),
        })
    }
}

impl From<low::Unlock> for HomeArgs {
    fn from(low: low::Unlock) -> Self {
        let passphrase = low.passphrase_fd.map_or(PassphraseSource::Terminal, PassphraseSource::Descriptor);
        Self { dir: low.dir, passphrase }
    }
}

impl From<low::Init> for InitArgs {
    fn from(low: low::Init) -> Self {
        let role = match low.role {
            BrokerRole::Owner => BrokerOwner::Owner,
            BrokerRole::Operator => BrokerOwner::Operator,
        };
        Self { home: low.unlock.into(), role, kdf_memory_mib: low.kdf_memory_mib }
    }
}

impl TryFrom<low::Seal> for SealArgs {
    type Error = UsageError;

    fn try_from(low: low::Seal) -> Result<Self, UsageError> {
        if low.test_rows == 0 {
            return Err(UsageError {
                argument: "--test-rows",
                expected: "1 or more".into(),
                got: low.test_rows.to_string(),
            });
        }
        Ok(Self {
            home: low.unlock.into(),
            tenant: id("--tenant", low.tenant)?,
            dataset_id: id("--dataset-id", low.dataset_id)?,
            source: low.source.try_into()?,
            test_rows: low.test_rows,
            licence: text("--licence", low.licence)?,
            valid_days: low.valid_days,
            out: low.out,
        })
    }
}

impl TryFrom<low::Source> for SourceArgs {
    type Error = UsageError;

    fn try_from(low: low::Source) -> Result<Self, UsageError> {
        let given = [
            ("--instruction", low.instruction.is_some(), &[TaskKind::Instruct][..]),
            ("--input-column", low.input_column.is_some(), &[TaskKind::Instruct]),
            ("--output-column", low.output_column.is_some(), &[TaskKind::Instruct]),
            ("--system-column", low.system_column.is_some(), &[TaskKind::Instruct, TaskKind::Dpo]),
            ("--messages", low.messages.is_some(), &[TaskKind::Chat]),
            ("--prompt", low.prompt.is_some(), &[TaskKind::Dpo, TaskKind::Grpo]),
            ("--chosen", low.chosen.is_some(), &[TaskKind::Dpo]),
            ("--rejected", low.rejected.is_some(), &[TaskKind::Dpo]),
            ("--extra-column", low.extra_column.is_some(), &[TaskKind::Grpo]),
        ];
        // A column that would be dropped without a word was meant for something.
        if let Some((argument, ..)) = given.iter().find(|(_, is, kinds)| *is && !kinds.contains(&low.task)) {
            let expected = format!("a column of a {} task", name(low.task));
            return Err(UsageError { argument, expected, got: "one of another".into() });
        }
        let column = |argument, got: Option<String>| got.map(|got| text(argument, got)).transpose();
        let needed = |argument, got: Option<String>| match got {
            Some(got) => text(argument, got),
            None => {
                let expected = format!("a column, which a {} task needs", name(low.task));
                Err(UsageError { argument, expected, got: "none".into() })
            }
        };
        let fields = match low.task {
            TaskKind::Instruct => Fields::Instruct {
                instruction: needed("--instruction", low.instruction)?,
                input: column("--input-column", low.input_column)?,
                output: needed("--output-column", low.output_column)?,
                system: column("--system-column", low.system_column)?,
            },
            TaskKind::Chat => Fields::Chat {
                messages: needed("--messages", low.messages)?,
                role: text("--role-field", low.role_field)?,
                content: text("--content-field", low.content_field)?,
                user: text("--user", low.user)?,
                assistant: text("--assistant", low.assistant)?,
            },
            TaskKind::Dpo => Fields::Dpo {
                prompt: needed("--prompt", low.prompt)?,
                chosen: needed("--chosen", low.chosen)?,
                rejected: needed("--rejected", low.rejected)?,
                system: column("--system-column", low.system_column)?,
            },
            TaskKind::Grpo => Fields::Grpo {
                prompt: needed("--prompt", low.prompt)?,
                extra: column("--extra-column", low.extra_column)?,
            },
        };
        let group_columns =
            low.group.into_iter().map(|column| text("--group", column)).collect::<Result<_, _>>()?;
        let format = match low.format {
            Some(SourceFormat::Jsonl) => Format::Jsonl,
            Some(SourceFormat::Json) => Format::Json,
            Some(SourceFormat::Csv) => Format::Csv,
            None => Format::of_path(&low.input).ok_or_else(|| UsageError {
                argument: "--input",
                expected: "a file named .jsonl, .json or .csv, or --format".into(),
                got: low.input.to_string_lossy().into_owned(),
            })?,
        };
        Ok(Self { input: low.input, format, mapping: Mapping { fields, group_columns } })
    }
}

fn name(task: TaskKind) -> String {
    format!("{task:?}").to_lowercase()
}

impl TryFrom<low::Submit> for SubmitArgs {
    type Error = UsageError;

    fn try_from(low: low::Submit) -> Result<Self, UsageError> {
        Ok(Self {
            home: low.unlock.into(),
            recipe: low.recipe,
            tournament: id("--tournament", low.tournament)?,
            base: text("--base", low.base)?,
            licence: text("--licence", low.licence)?,
            escrow: low.escrow,
            out: low.out,
        })
    }
}

impl TryFrom<low::Enrol> for EnrolArgs {
    type Error = UsageError;

    fn try_from(low: low::Enrol) -> Result<Self, UsageError> {
        Ok(Self {
            home: low.unlock.into(),
            submission: low.submission,
            label: text("--label", low.label)?,
            champion: low.champion,
            buy_in: amount("--buy-in", low.buy_in)?,
            stake: amount("--stake", low.stake)?,
            completed_entries: low.completed_entries,
            log_permitted: low.log_permitted,
            out: low.out,
        })
    }
}

impl From<low::CharterSign> for CharterSignArgs {
    fn from(low: low::CharterSign) -> Self {
        Self {
            home: low.unlock.into(),
            charter: low.charter,
            envelope: low.envelope,
            previous: low.previous,
            out: low.out,
            confirm: low.confirm,
        }
    }
}

impl From<low::CollateralSign> for CollateralSignArgs {
    fn from(low: low::CollateralSign) -> Self {
        Self { home: low.unlock.into(), from: low.from, expires_days: low.expires_days, out: low.out }
    }
}

impl TryFrom<low::Serve> for ServeArgs {
    type Error = UsageError;

    fn try_from(low: low::Serve) -> Result<Self, UsageError> {
        let listen = low.listen.parse().map_err(|_| UsageError {
            argument: "--listen",
            expected: "an IP address and port, as 127.0.0.1:0".into(),
            got: low.listen,
        })?;
        Ok(Self {
            home: low.unlock.into(),
            charter: low.charter,
            listen,
            anchors: low.anchors,
            collateral: low.collateral,
            collateral_key: low.collateral_key,
            port_file: low.port_file,
        })
    }
}

impl TryFrom<low::Open> for OpenArgs {
    type Error = UsageError;

    fn try_from(low: low::Open) -> Result<Self, UsageError> {
        let order: Hex<32> = low.order.parse().map_err(|_| UsageError {
            argument: "--order",
            expected: "64 lower-case hex digits".into(),
            got: low.order,
        })?;
        let key_id = match low.key_id.parse() {
            Ok(KeyId::Artefact(named)) if named == order => KeyId::Artefact(named),
            Ok(KeyId::Log(named)) if named == order => KeyId::Log(named),
            Ok(_) | Err(_) => {
                return Err(UsageError {
                    argument: "--key-id",
                    expected: format!("artefact/{order} or log/{order}"),
                    got: low.key_id,
                });
            }
        };
        let name = low.name.parse().map_err(|_| UsageError {
            argument: "--name",
            expected: "32 lower-case hex digits".into(),
            got: low.name,
        })?;
        Ok(Self { home: low.unlock.into(), key_id, object: low.object, name, order, out: low.out })
    }
}

impl From<low::ContainerFiles> for ContainerArgs {
    fn from(low: low::ContainerFiles) -> Self {
        // More than a few only wait for memory and disk.
        const THREADS_UNASKED_MAX: usize = 4;
        let there = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = low.threads.map_or_else(|| there().min(THREADS_UNASKED_MAX), usize::from);
        Self { key_file: low.key_file, context: low.context, input: low.input, out: low.out, threads }
    }
}

fn id(argument: &'static str, got: String) -> Result<String, UsageError> {
    if is_id(&got) {
        return Ok(got);
    }
    Err(UsageError { argument, expected: format!("1 to {ID_MAX_BYTES} of a-z, 0-9, '-', '_'"), got })
}

fn text(argument: &'static str, got: String) -> Result<String, UsageError> {
    if (1..=TEXT_MAX_BYTES).contains(&got.len()) && !got.chars().any(char::is_control) {
        return Ok(got);
    }
    Err(UsageError { argument, expected: format!("1 to {TEXT_MAX_BYTES} bytes, no control characters"), got })
}

/// Signed documents hold no integer above 2^53 - 1 (PROVISIONING, head).
fn amount(argument: &'static str, got: u64) -> Result<u64, UsageError> {
    const MAX: u64 = (1 << 53) - 1;
    if got <= MAX {
        return Ok(got);
    }
    Err(UsageError { argument, expected: format!("at most {MAX}"), got: got.to_string() })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn parse(line: &str) -> Result<Command, UsageError> {
        let low = LowArgs::try_parse_from(line.split(' ')).unwrap();
        HiArgs::try_from(low).map(|high| high.command)
    }

    #[test]
    fn a_text_that_means_nothing_stops_at_the_border() {
        for (line, argument) in [
            ("b serve --dir d --charter c --listen localhost", "--listen"),
            ("b open --dir d --key-id draw/x --object o --name 00 --order 00 --out o", "--order"),
            (
                "b seal --dir d --tenant T --dataset-id x --input i --test-rows 1 --instruction a --output-column b --out o",
                "--tenant",
            ),
            (
                "b seal --dir d --tenant t --dataset-id x/y --input i --test-rows 1 --instruction a --output-column b --out o",
                "--dataset-id",
            ),
            (
                "b seal --dir d --tenant t --dataset-id x --input i --test-rows 0 --instruction a --output-column b --out o",
                "--test-rows",
            ),
            ("b enrol --dir d --submission s --label x --buy-in 9007199254740992 --out o", "--buy-in"),
        ] {
            assert_eq!(parse(line).err().map(|error| error.argument), Some(argument), "{line}");
        }
    }

    #[test]
    fn open_names_one_order_only() {
        let order = "ab".repeat(32);
        let line = |kind: &str, named: &str| {
            let name = "ab".repeat(16);
            format!("b open --dir d --key-id {kind}/{named} --object o --name {name} --order {order} --out o")
        };
        assert!(parse(&line("artefact", &order)).is_ok());
        assert!(parse(&line("log", &order)).is_ok());
        assert!(parse(&line("artefact", &"cd".repeat(32))).is_err());
        assert!(parse(&line("submission", &order)).is_err());
    }
}
